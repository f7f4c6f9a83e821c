"""The program graph: which nodes there are, and who knows whom."""

import functools
from pathlib import Path

import launchpad as lp

from mukoe.layouts.distributed.nodes import (
    ActorNode,
    CounterNode,
    EvaluatorNode,
    InferenceNode,
    LearnerNode,
    NodeContext,
    ReplayNode,
)
from mukoe.layouts.experiment import DistributedConfig, ExperimentConfig
from mukoe.layouts.reporting import counts_to_resume
from mukoe.layouts.resources import has_accelerator
from mukoe.types import EnvironmentSpec

_CALL_TIMEOUT_SECONDS = 60.0


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
      environment_spec: of `check_experiment`.
      workdir: where logs and checkpoints go; it exists.
      resume: go on from the newest checkpoint in `workdir`, where there is one.
      name: of the program.

    Returns:
      The program, and a handle of its counter.
    """
    distributed = experiment.distributed
    context = NodeContext(
        experiment=experiment,
        environment_spec=environment_spec,
        workdir=workdir,
        counts=counts_to_resume(workdir) if resume else {},
    )
    program = lp.Program(name)

    with program.group("replay"):
        replay = program.add_node(ReplayNode(functools.partial(_make_tables, context)))

    with program.group("counter"):
        counter = program.add_node(lp.CourierNode(CounterNode, context, replay))
        _set_timeout(counter)

    with program.group("learner"):
        learner = program.add_node(lp.CourierNode(LearnerNode, context, replay, counter))
        _set_timeout(learner)

    servers: list[lp.CourierHandle] = []
    if inference_placement(distributed) == "server":
        per_server = -(-distributed.num_actors // distributed.num_inference_servers)
        max_environments = per_server * experiment.run.envs_per_actor
        with program.group("inference"):
            for index in range(distributed.num_inference_servers):
                node = lp.CourierNode(InferenceNode, context, learner, index, max_environments)
                servers.append(program.add_node(node))
                _set_timeout(servers[-1], distributed.server.timeout_seconds)

    with program.group("actor"):
        for index in range(distributed.num_actors):
            server = servers[index % len(servers)] if servers else None
            program.add_node(
                lp.PyClassNode(ActorNode, context, replay, counter, learner, server, index)
            )

    with program.group("evaluator"):
        program.add_node(lp.PyClassNode(EvaluatorNode, context, counter, learner))

    return program, counter


def inference_placement(distributed: DistributedConfig) -> str:
    """Where the policy of the actors runs: 'local' or 'server'."""
    if distributed.inference == "auto":
        return "server" if has_accelerator() else "local"
    return distributed.inference


def _make_tables(context: NodeContext) -> list:
    with context.reporting_failures("replay", lp.stop_event()):
        policy = context.make_policy(evaluation=False)
        return context.experiment.builder.make_replay_tables(context.environment_spec, policy)


def _set_timeout(handle: lp.CourierHandle, seconds: float = _CALL_TIMEOUT_SECONDS) -> None:
    handle.set_client_kwargs(call_timeout=seconds)
