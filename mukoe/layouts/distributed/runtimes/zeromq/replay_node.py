"""Node that serves the replay, and the connection of the other nodes to it."""

import contextlib
import itertools
import logging
from collections.abc import Sequence
from concurrent import futures
from typing import Any

from mukoe.layouts.common.demonstrations import make_demonstrations
from mukoe.layouts.common.seeds import SeededPart
from mukoe.layouts.distributed.nodes.context import NodeContext
from mukoe.layouts.distributed.nodes.runtime import ReplayStatistics
from mukoe.layouts.distributed.runtimes.zeromq.client import Client
from mukoe.layouts.distributed.runtimes.zeromq.replay_files import (
    replay_folder,
    restore_replay,
    save_replay,
)
from mukoe.layouts.distributed.supervision.node import label_of
from mukoe.replay.declaration import ReplayDeclaration, row_spec
from mukoe.replay.handle import SharedReplay
from mukoe.replay.in_process import InProcessReplay
from mukoe.replay.served import (
    ReplayServer,
    ServedReplay,
    ShardedReplay,
    divide_batches,
    shard_declaration,
)
from mukoe.types import Row

_LOGGER = logging.getLogger(__name__)

_STATISTICS_SECONDS = 2.0


class ReplayNode:
    """Serves the replay until the program stops, and saves it on request.

    server: replay whose methods are served.
    """

    def __init__(self, context: NodeContext, index: int):
        """Makes the replay, with the content of the newest checkpoint in a resumed run.

        Args:
          context: description of the run.
          index: index of the node among the replay nodes.
        """
        distributed = context.experiment.distributed
        num_replays = distributed.num_replays
        self._context = context
        self._index = index
        self._label = label_of(f"replay/{index}")
        parts = divide_batches(context.experiment.builder.replay, distributed.num_learners)
        self._declaration = shard_declaration(parts, num_replays)
        self._folder = replay_folder(context.workdir, index, num_replays)
        with context.runtime.reporting_failures(self._label):
            server = None
            if context.resumes and context.saves_replay:
                server = restore_replay(self._folder, self._make_server)
            self.server = server or self._make_server()

    def save(self) -> None:
        """Writes a checkpoint; a failure is a warning."""
        try:
            save_replay(self._folder, self.server.state())
        except OSError as error:  # such as a full disk
            _LOGGER.warning(f"the replay could not be saved: {error}")

    def run(self) -> None:
        """Serves until the program stops."""
        runtime = self._context.runtime
        with runtime.reporting_failures(self._label), contextlib.closing(self.server):
            runtime.stop_event.wait()
            runtime.linger()

    def _make_server(self, state: Any = None) -> ReplayServer:
        context = self._context
        experiment, policy = context.experiment, context.make_policy()
        num_envs = experiment.distributed.num_actors * experiment.run.envs_per_actor
        return ReplayServer(
            self._declaration,
            row_spec(context.environment_spec, policy.extras_spec),
            context.random_seed(SeededPart.REPLAY, *([self._index] if self._index else [])),
            num_envs,
            state,
            self._make_demonstrations(),
        )

    def _make_demonstrations(self) -> InProcessReplay | None:
        context = self._context
        data = context.read_demonstrations()
        if data is None:
            return None
        policy = context.make_policy()
        made = make_demonstrations(context.experiment, context.environment_spec, policy, data)
        return made.replay


class ServedReplayService:
    """Implementation of `mukoe.layouts.distributed.nodes.runtime.ReplayService`."""

    def __init__(self, clients: Sequence[Client], declaration: ReplayDeclaration, first: int = 0):
        """Stores the clients.

        Args:
          clients: clients of the replay nodes.
          declaration: declaration of the whole replay.
          first: index of the node's first environment, or of a reanalyser, in the program.
        """
        self._clients = clients
        self._declaration = shard_declaration(declaration, len(clients))
        self._indices = itertools.count(first)
        self._saving: list[futures.Future[None]] = []

    def connect(self, row_spec: Row) -> SharedReplay:
        """Returns the handle of the replay.

        Args:
          row_spec: specs of a row.
        """
        shards = [ServedReplay(client, row_spec) for client in self._clients]
        return shards[0] if len(shards) == 1 else ShardedReplay(shards, self._indices)

    def statistics(self) -> ReplayStatistics | None:
        """Returns the statistics; None if a server is unavailable."""
        answers = [client.futures.statistics() for client in self._clients]
        _, missing = futures.wait(answers, _STATISTICS_SECONDS)
        if missing or any(answer.exception() for answer in answers):
            return None
        counts = zip(*(answer.result() for answer in answers), strict=True)
        return ReplayStatistics(*map(sum, counts))

    def start_save(self) -> None:
        """Starts to write a checkpoint of the replay, unless one is being written."""
        if all(saving.done() for saving in self._saving):
            self._saving = [client.futures.save() for client in self._clients]

    def wait_for_save(self, seconds: float) -> None:
        """Waits for the checkpoint that is being written, for at most `seconds`."""
        if futures.wait(self._saving, seconds).not_done:
            _LOGGER.warning(f"the replay was not saved within {seconds:g} s")
