"""Launchpad program of a program graph."""

from pathlib import Path

import launchpad as lp

from mukoe.errors import UserError
from mukoe.layouts.common.checkpointing import saves_replay, stored_counts
from mukoe.layouts.distributed.graph import ProgramGraph
from mukoe.layouts.distributed.nodes.actor import ActorNode
from mukoe.layouts.distributed.nodes.context import NodeContext
from mukoe.layouts.distributed.nodes.counter import CounterNode
from mukoe.layouts.distributed.nodes.evaluator import EvaluatorNode
from mukoe.layouts.distributed.nodes.inference import InferenceNode
from mukoe.layouts.distributed.nodes.learner import LearnerNode
from mukoe.layouts.distributed.nodes.reanalyser import ReanalyserNode
from mukoe.layouts.distributed.placement import servers_of
from mukoe.layouts.distributed.runtimes.launchpad.node_runtime import LaunchpadRuntime
from mukoe.layouts.distributed.runtimes.launchpad.replay_node import ReplayNode

_CALL_TIMEOUT_SECONDS = 60.0
# Shorter for the counter, without which the other nodes continue.
_COUNT_TIMEOUT_SECONDS = 5.0


def make_program(
    graph: ProgramGraph, workdir: Path, resume: bool = False, name: str = "mukoe"
) -> tuple[lp.Program, lp.CourierHandle]:
    """Makes the Launchpad program of an experiment.

    Args:
      graph: checked experiment.
      workdir: existing directory of the logs and checkpoints.
      resume: True to resume from the newest checkpoint in `workdir`, if there is one.
      name: name of the program.

    Returns:
      The program, and the handle of its counter.

    Raises:
      UserError: there are several replay or learner nodes.
    """
    distributed = graph.experiment.distributed
    if distributed.num_replays > 1:
        raise UserError("--num_replays is for --runtime=zeromq: leave it out on Launchpad")
    if distributed.num_learners > 1:
        raise UserError("--num_learners is for --runtime=zeromq: leave it out on Launchpad")
    context = NodeContext(
        runtime=LaunchpadRuntime(workdir),
        experiment=graph.experiment,
        environment_spec=graph.environment_spec,
        workdir=workdir,
        counts=stored_counts(workdir) if resume else {},
        saves_replay=saves_replay(graph.experiment, graph.replay_bytes),
        demonstrations=graph.demonstrations,
    )
    split = graph.inference == "split"
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
    if graph.inference != "local":
        with program.group("inference"):
            for index in range(distributed.num_inference_servers):
                node = lp.CourierNode(InferenceNode, context, counter, learner, index, split)
                servers.append(program.add_node(node))
                # A call to a dead server fails at once, so that actors can fail over.
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

    if distributed.num_reanalysers:
        with program.group("reanalyser"):
            for index in range(distributed.num_reanalysers):
                preferred = servers_of(index, servers) if distributed.reanalysis == "server" else []
                program.add_node(
                    lp.PyClassNode(ReanalyserNode, context, replay, learner, index, preferred)
                )

    with program.group("evaluator"):
        program.add_node(lp.PyClassNode(EvaluatorNode, context, counter, learner))

    return program, counter
