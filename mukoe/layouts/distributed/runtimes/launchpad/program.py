"""The program graph: which nodes there are, and who knows whom."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import jax
import launchpad as lp
import numpy as np

from mukoe.errors import UserError
from mukoe.layouts.common.checkpointing import saves_replay, stored_counts
from mukoe.layouts.common.experiment import (
    DistributedConfig,
    ExperimentConfig,
    check_experiment,
)
from mukoe.layouts.common.required_memory import RequiredMemory
from mukoe.layouts.distributed.nodes.all_nodes import (
    ActorNode,
    CounterNode,
    EvaluatorNode,
    InferenceNode,
    LearnerNode,
    NodeContext,
    ReplayNode,
)
from mukoe.system import check_fits, has_accelerator
from mukoe.types import EnvironmentSpec

_CALL_TIMEOUT_SECONDS = 60.0
# Of the counter, without which the others go on.
_COUNT_TIMEOUT_SECONDS = 5.0
# Reverb compresses what it stores; pictures of games to less than a quarter.
_PIXEL_COMPRESSION = 4
# A process or a thread, at least; the entry of a node in the graph, at least.
_BYTES_OF_NODE_HERE, _BYTES_OF_NODE_IN_GRAPH = 8 << 20, 1 << 10

T = TypeVar("T")


def check(
    experiment: ExperimentConfig, memory_of: Callable[[str], int | None] | None = None
) -> EnvironmentSpec:
    """Makes an environment and the networks once, and returns the environment's spec.

    Args:
      experiment: agent, environment and settings.
      memory_of: bytes that a node of a group has, None for those of this machine; None where
        all nodes run on this machine.

    Raises:
      UserError: the environment cannot be made, the agent does not fit it, memory does not
        suffice, or the policy cannot run where it is to run.
    """
    spec = check_experiment(experiment)
    placement = inference_placement(experiment.distributed, has_accelerator())
    _check_memory(experiment, spec, placement, memory_of)
    if placement == "local":
        return spec
    num_envs = experiment.run.envs_per_actor
    max_batch_size = experiment.distributed.server.max_batch_size
    if num_envs > max_batch_size:
        raise UserError(
            f"run.envs_per_actor {num_envs} must not be above distributed.server.max_batch_size "
            f"{max_batch_size}: the environments of an actor are answered together"
        )
    if placement == "split":
        builder = experiment.builder
        if builder.make_policy(builder.make_networks(spec), spec).split is None:
            raise UserError(
                "inference=split needs a policy in two parts, which "
                f"{type(builder).__name__} does not make; use server or local"
            )
    return spec


def _check_memory(
    experiment: ExperimentConfig,
    spec: EnvironmentSpec,
    placement: str,
    memory_of: Callable[[str], int | None] | None,
) -> None:
    distributed = experiment.distributed
    is_here = memory_of is None
    vectors = distributed.num_actors if is_here else 1
    each = _BYTES_OF_NODE_HERE if is_here else _BYTES_OF_NODE_IN_GRAPH
    memory_of = memory_of or (lambda group: None)
    nodes = distributed.num_actors + distributed.num_inference_servers
    remedy = "lower distributed.num_actors or distributed.num_inference_servers"
    check_fits(nodes * each, f"a program of {nodes} nodes", remedy)
    memory = RequiredMemory(experiment, spec)
    memory.check_parameters(memory_of("learner"))
    memory.check_replay(_replay_bytes(experiment, memory, spec), memory_of("replay"))
    if placement == "local":
        num_envs = vectors * experiment.run.envs_per_actor
        remedy = "lower run.envs_per_actor, distributed.num_actors or the simulations"
        memory.check_acting(num_envs, remedy, memory_of("actor"))
    memory.check_evaluation(memory_of("evaluator"))
    memory.check_batches(0, 1 + distributed.prefetch_size, memory_of("learner"))


def make_program(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    workdir: Path,
    resume: bool = False,
    name: str = "mukoe",
) -> tuple[lp.Program, lp.CourierHandle]:
    """Turns an experiment into a Launchpad program.

    Args:
      experiment: agent, environment and settings.
      environment_spec: of `check`.
      workdir: where logs and checkpoints go; it exists.
      resume: go on from the newest checkpoint in `workdir`, where there is one.
      name: of the program.

    Returns:
      The program, and a handle of its counter.
    """
    distributed = experiment.distributed
    memory = RequiredMemory(experiment, environment_spec)
    size = _replay_bytes(experiment, memory, environment_spec)
    context = NodeContext(
        experiment=experiment,
        environment_spec=environment_spec,
        workdir=workdir,
        counts=stored_counts(workdir) if resume else {},
        saves_replay=saves_replay(experiment, size),
    )
    placement = inference_placement(distributed, has_accelerator())
    split = placement == "split"
    program = lp.Program(name)

    with program.group("replay"):
        replay = program.add_node(ReplayNode(context))

    with program.group("counter"):
        counter = program.add_node(lp.CourierNode(CounterNode, context, replay))
        counter.set_client_kwargs(call_timeout=_COUNT_TIMEOUT_SECONDS)

    with program.group("learner"):
        learner = program.add_node(lp.CourierNode(LearnerNode, context, replay, counter))
        learner.set_client_kwargs(call_timeout=_CALL_TIMEOUT_SECONDS)

    servers: list[lp.CourierHandle] = []
    if placement != "local":
        with program.group("inference"):
            for index in range(distributed.num_inference_servers):
                node = lp.CourierNode(InferenceNode, context, learner, index, split)
                servers.append(program.add_node(node))
                # A call to a server that has died fails at once, so that actors can move.
                servers[-1].set_client_kwargs(
                    call_timeout=distributed.server.timeout_seconds, wait_for_ready=False
                )

    with program.group("actor"):
        for index in range(distributed.num_actors):
            preferred = servers_of(index, servers)
            program.add_node(
                lp.PyClassNode(
                    ActorNode, context, replay, counter, learner, preferred, split, index
                )
            )

    with program.group("evaluator"):
        program.add_node(lp.PyClassNode(EvaluatorNode, context, counter, learner))

    return program, counter


def servers_of(actor: int, servers: Sequence[T]) -> list[T]:
    """The servers of an actor in order of preference.

    Actors are spread over all of them, and those of one that dies over all that are left.
    """
    if not servers:
        return []
    first, rotation = actor % len(servers), actor // len(servers)
    others = [*servers[first + 1 :], *servers[:first]]
    start = rotation % max(len(others), 1)
    return [servers[first], *others[start:], *others[:start]]


def inference_placement(
    distributed: DistributedConfig, accelerated: bool
) -> Literal["local", "server", "split"]:
    """Where the policy of the actors runs; servers are `accelerated` where they have a device."""
    if distributed.inference == "auto":
        return "server" if accelerated else "local"
    return distributed.inference


def place_inference(experiment: ExperimentConfig, accelerated: bool) -> ExperimentConfig:
    """Decides `distributed.inference=auto` by the machines of a cluster, not by this one."""
    inference = inference_placement(experiment.distributed, accelerated)
    distributed = dataclasses.replace(experiment.distributed, inference=inference)
    return dataclasses.replace(experiment, distributed=distributed)


def _replay_bytes(
    experiment: ExperimentConfig, memory: RequiredMemory, spec: EnvironmentSpec
) -> int:
    """Bytes of a full replay, as Reverb keeps it."""
    required = memory.replay_bytes(
        experiment.distributed.num_actors * experiment.run.envs_per_actor
    )
    leaves = jax.tree.leaves(spec.observations)
    has_pixels = any(leaf.dtype == np.uint8 and leaf.shape for leaf in leaves)
    return required // _PIXEL_COMPRESSION if has_pixels else required
