"""Nodes of a program graph, their endpoints, and their served methods."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mukoe.configuration import to_dict
from mukoe.layouts.common.checkpointing import saves_replay, stored_counts
from mukoe.layouts.common.experiment import ExperimentConfig, TrainingConfig
from mukoe.layouts.distributed.graph import ProgramGraph
from mukoe.layouts.distributed.nodes.actor import ActorNode
from mukoe.layouts.distributed.nodes.context import NodeContext
from mukoe.layouts.distributed.nodes.counter import CounterNode
from mukoe.layouts.distributed.nodes.evaluator import EvaluatorNode
from mukoe.layouts.distributed.nodes.inference import InferenceNode
from mukoe.layouts.distributed.nodes.learner import LearnerNode
from mukoe.layouts.distributed.nodes.learner_peer import LearnerPeerNode
from mukoe.layouts.distributed.nodes.reanalyser import ReanalyserNode
from mukoe.layouts.distributed.nodes.runtime import Runtime
from mukoe.layouts.distributed.placement import group_sizes, servers_of
from mukoe.layouts.distributed.runtimes.zeromq.client import Client
from mukoe.layouts.distributed.runtimes.zeromq.endpoints import Endpoint, digest
from mukoe.layouts.distributed.runtimes.zeromq.learner_group import LearnerGroup, check_jax
from mukoe.layouts.distributed.runtimes.zeromq.replay_node import ReplayNode, ServedReplayService
from mukoe.layouts.distributed.runtimes.zeromq.server import Server

_CALL_TIMEOUT_SECONDS = 60.0
# Shorter for the counter, without which the other nodes continue.
_COUNT_TIMEOUT_SECONDS = 5.0

SERVING_GROUPS = ("replay", "counter", "learner", "inference")
# Groups whose methods a node of a group calls.
_PEERS = {
    "replay": (),
    "counter": ("replay",),
    "learner": ("replay", "counter"),
    "inference": ("counter", "learner"),
    "actor": ("replay", "counter", "learner", "inference"),
    "reanalyser": ("replay", "learner", "inference"),
    "evaluator": ("counter", "learner"),
}


class ServedMethods(NamedTuple):
    """Methods of a node by name.

    quick: methods that return at once, or a future; see `Server`.
    waiting: methods that may wait.
    """

    quick: Mapping[str, Callable[..., Any]]
    waiting: Mapping[str, Callable[..., Any]]


@dataclasses.dataclass(frozen=True)
class Program:
    """Program graph with the addresses of its nodes.

    graph: checked experiment.
    workdir: directory of the logs and checkpoints.
    counts: counts at the start of the program; empty unless the run is resumed.
    saves_replay: True if checkpoints hold the replay.
    addresses: address for ZeroMQ of each serving node, by title such as `inference/0`.
    run: digest of specs and configuration.
    secret: secret of the connections; None on Unix sockets.
    """

    graph: ProgramGraph
    workdir: Path
    counts: Mapping[str, int]
    saves_replay: bool
    addresses: Mapping[str, str]
    run: bytes
    secret: bytes | None = dataclasses.field(default=None, repr=False)

    @property
    def experiment(self) -> ExperimentConfig:
        """Agent, environment and settings."""
        return self.graph.experiment

    @property
    def titles(self) -> list[str]:
        """Titles of the nodes, such as `actor/0`, those first that the others need."""
        return titles(self.graph)

    def peers(self, title: str) -> list[str]:
        """Returns the titles of the nodes whose methods a node calls."""
        groups = set(_PEERS[title.partition("/")[0]])
        if title.startswith("reanalyser/") and self.experiment.distributed.reanalysis != "server":
            groups.discard("inference")
        if is_learner_peer(title):
            groups = {"replay", "learner"}
        return [
            peer
            for peer in self.titles
            if peer.partition("/")[0] in groups and serves(peer) and peer != title
        ]

    def endpoint(self, title: str) -> Endpoint:
        """Returns the endpoint of a serving node."""
        return Endpoint(self.addresses[title], self.run, self.secret)

    def connect_counter(self) -> Client:
        """Returns a client of the counter."""
        return Client(self.endpoint("counter/0"), _COUNT_TIMEOUT_SECONDS)

    def run_node(self, title: str, runtime: Runtime) -> None:
        """Runs a node until the program stops.

        Args:
          title: title of the node.
          runtime: services of the node.
        """
        with contextlib.ExitStack() as connections:
            make_node = _Connections(self, title, runtime, connections).make_node
            num_learners = self.experiment.distributed.num_learners
            if title.startswith("learner/") and num_learners > 1:
                group = LearnerGroup(self.endpoint("learner/0"), title, num_learners, runtime)
                return group.run(make_node)
            node = make_node()
            if serves(title):
                served = served_methods(title, node)
                server = Server(self.endpoint(title), served.quick, served.waiting)
                connections.enter_context(contextlib.closing(server))
            node.run()


def make_program(
    graph: ProgramGraph,
    workdir: Path,
    addresses: Mapping[str, str],
    config: TrainingConfig,
    secret: bytes | None = None,
    resume: bool = False,
) -> Program:
    """Makes the program of an experiment.

    Args:
      graph: checked experiment.
      workdir: existing directory of the logs and checkpoints.
      addresses: address of each serving node, by title.
      config: configuration of the run, which its nodes must share.
      secret: secret of the connections; None on Unix sockets.
      resume: True to resume from the newest checkpoint in `workdir`, if there is one.

    Raises:
      UserError: the version of JAX does not suit several learners.
    """
    if graph.experiment.distributed.num_learners > 1:
        check_jax()
    return Program(
        graph,
        workdir,
        stored_counts(workdir) if resume else {},
        saves_replay(graph.experiment, graph.replay_bytes),
        addresses,
        digest(f"{graph.environment_spec}\n{json.dumps(to_dict(config), sort_keys=True)}"),
        secret,
    )


def titles(graph: ProgramGraph) -> list[str]:
    """Returns the titles of the nodes of a graph; serving ones come first."""
    distributed = dataclasses.replace(graph.experiment.distributed, inference=graph.inference)
    sizes = group_sizes(dataclasses.replace(graph.experiment, distributed=distributed))
    groups = sorted(sizes, key=lambda group: group not in SERVING_GROUPS)
    return [f"{group}/{index}" for group in groups for index in range(sizes[group])]


def is_learner_peer(title: str) -> bool:
    """Returns whether a node is a learner beside the first one, which serves the parameters."""
    return title.startswith("learner/") and title != "learner/0"


def serves(title: str) -> bool:
    """Returns whether other nodes call methods of a node."""
    return title.partition("/")[0] in SERVING_GROUPS and not is_learner_peer(title)


class _Connections:
    """Maker of a node and of its connections to the others."""

    def __init__(self, program: Program, title: str, runtime: Runtime, stack: contextlib.ExitStack):
        self._program = program
        self._title = title
        self._peers = program.peers(title)
        self._stack = stack
        self._context = NodeContext(
            runtime=runtime,
            experiment=program.experiment,
            environment_spec=program.graph.environment_spec,
            workdir=program.workdir,
            counts=program.counts,
            saves_replay=program.saves_replay,
            demonstrations=program.graph.demonstrations,
        )

    def make_node(self) -> Any:
        """Makes the node."""
        group, _, number = self._title.partition("/")
        index, context = int(number), self._context
        split = self._program.graph.inference == "split"
        if group == "replay":
            return ReplayNode(context, index)
        if group == "counter":
            return CounterNode(context, self._replay())
        if is_learner_peer(self._title):
            return LearnerPeerNode(context, self._replay(), index)
        if group == "learner":
            return LearnerNode(context, self._replay(), self._counter())
        if group == "inference":
            return InferenceNode(context, self._counter(), self._learner(), index, split)
        if group == "evaluator":
            return EvaluatorNode(context, self._counter(), self._learner())
        servers = self._servers(index)
        if group == "actor":
            first = index * self._program.experiment.run.envs_per_actor
            peers = self._replay(first), self._counter(), self._learner()
            return ActorNode(context, *peers, servers, split, index)
        assert group == "reanalyser"
        return ReanalyserNode(context, self._replay(index), self._learner(), index, servers)

    def _connect(self, title: str, timeout_seconds: float, waits: bool = True) -> Client:
        assert title in self._peers, f"{title} is no peer of {self._title}"
        client = Client(self._program.endpoint(title), timeout_seconds, waits)
        return self._stack.enter_context(contextlib.closing(client))

    def _replay(self, first: int = 0) -> ServedReplayService:
        """Returns the replay, for environments or a reanalyser from index `first` on."""
        shards = [title for title in self._peers if title.startswith("replay/")]
        clients = [self._connect(title, _CALL_TIMEOUT_SECONDS) for title in shards]
        return ServedReplayService(clients, self._program.experiment.builder.replay, first)

    def _counter(self) -> Any:
        return self._connect("counter/0", _COUNT_TIMEOUT_SECONDS)

    def _learner(self) -> Any:
        return self._connect("learner/0", _CALL_TIMEOUT_SECONDS)

    def _servers(self, index: int) -> list[Any]:
        """Returns clients of the inference servers of an actor or reanalyser, if there are any."""
        seconds = self._program.experiment.distributed.server.timeout_seconds
        servers = [title for title in self._peers if title.startswith("inference/")]
        # A call to a dead server fails at once, so that actors can fail over.
        return [self._connect(title, seconds, waits=False) for title in servers_of(index, servers)]


def served_methods(title: str, node: Any) -> ServedMethods:
    """Returns the methods of a node that other nodes may call."""
    group = title.partition("/")[0]
    if group == "replay":
        quick = (
            "open_stream",
            "insert",
            "sample",
            "sample_to_reanalyse",
            "write_reanalysed",
            "update_priorities",
            "stretch",
            "rewrite",
            "statistics",
        )
        return ServedMethods(
            {name: getattr(node.server, name) for name in quick}, {"save": node.save}
        )
    if group == "counter":
        names = ("increment", "get_counts", "report", "snapshot")
        return ServedMethods(
            {name: getattr(node, name) for name in names}, {"set_counts": node.set_counts}
        )
    if group == "learner":
        return ServedMethods({}, {"get_variables": node.get_variables})
    return ServedMethods(
        {"act": node.submit, "open_session": node.open_session},
        {
            "wait_until_ready": node.wait_until_ready,
            "get_parameters": node.get_parameters,
            "reanalyse": node.reanalyse,
        },
    )
