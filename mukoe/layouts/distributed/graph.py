"""The program graph: which nodes there are, and who knows whom."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

import jax
import launchpad as lp
import numpy as np

from mukoe.errors import UserError
from mukoe.layouts.distributed.nodes import (
    ActorNode,
    CounterNode,
    EvaluatorNode,
    InferenceNode,
    LearnerNode,
    NodeContext,
    ReplayNode,
)
from mukoe.layouts.experiment import (
    DistributedConfig,
    ExperimentConfig,
    check_experiment,
    saves_replay,
)
from mukoe.layouts.reporting import counts_to_resume
from mukoe.layouts.resources import has_accelerator
from mukoe.replay import memory
from mukoe.replay.declaration import row_spec
from mukoe.replay.in_process import bytes_required
from mukoe.types import EnvironmentSpec

_CALL_TIMEOUT_SECONDS = 60.0
# Of the counter, without which the others go on.
_COUNT_TIMEOUT_SECONDS = 5.0
# Reverb compresses what it stores; pictures of games to less than a quarter.
_PIXEL_COMPRESSION = 4

T = TypeVar("T")


def check(experiment: ExperimentConfig) -> EnvironmentSpec:
    """Makes an environment and the networks once, and returns the environment's spec.

    Raises:
      UserError: the environment cannot be made, the agent does not fit it, or the policy
        cannot run where it is to run.
    """
    spec = check_experiment(experiment)
    placement = inference_placement(experiment.distributed, has_accelerator())
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


def make_program(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    workdir: Path,
    resume: bool = False,
    name: str = "mukoe",
    replay_memory: int | None = None,
) -> tuple[lp.Program, lp.CourierHandle]:
    """Turns an experiment into a Launchpad program.

    Args:
      experiment: agent, environment and settings.
      environment_spec: of `check`.
      workdir: where logs and checkpoints go; it exists.
      resume: go on from the newest checkpoint in `workdir`, where there is one.
      name: of the program.
      replay_memory: bytes of the machine that replay will run on; None where it is this one.

    Returns:
      The program, and a handle of its counter.
    """
    distributed = experiment.distributed
    context = NodeContext(
        experiment=experiment,
        environment_spec=environment_spec,
        workdir=workdir,
        counts=counts_to_resume(workdir) if resume else {},
        saves_replay=_saves_replay(experiment, environment_spec, replay_memory),
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


def _saves_replay(
    experiment: ExperimentConfig, spec: EnvironmentSpec, memory_bytes: int | None
) -> bool:
    """Also refuses a replay for which there is no memory."""
    builder = experiment.builder
    policy = builder.make_policy(builder.make_networks(spec), spec)
    rows = row_spec(spec, policy.extras_spec)
    num_streams = experiment.distributed.num_actors * experiment.run.envs_per_actor
    required = bytes_required(builder.replay, rows, num_streams)
    if any(leaf.dtype == np.uint8 and leaf.shape for leaf in jax.tree.leaves(rows)):
        required //= _PIXEL_COMPRESSION
    what = f"replay of {builder.replay.capacity} items"
    memory.check_fits(required, what, "lower the capacity", memory_bytes)
    return saves_replay(experiment, required)
