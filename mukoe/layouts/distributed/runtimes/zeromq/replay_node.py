"""Node that serves the replay, and the connection of the other nodes to it."""

import contextlib
import logging
from concurrent import futures
from typing import Any

from mukoe.layouts.common.demonstrations import make_demonstrations, select_demonstrations
from mukoe.layouts.common.offline_data import read_sources
from mukoe.layouts.common.offline_sources import parse_sources
from mukoe.layouts.common.seeds import SeededPart
from mukoe.layouts.distributed.nodes.context import NodeContext
from mukoe.layouts.distributed.nodes.runtime import ReplayStatistics
from mukoe.layouts.distributed.runtimes.zeromq.client import Client
from mukoe.layouts.distributed.runtimes.zeromq.replay_files import (
    replay_folder,
    restore_replay,
    save_replay,
)
from mukoe.replay.declaration import ReplayDeclaration, row_spec
from mukoe.replay.in_process import InProcessReplay
from mukoe.replay.served import ReplayServer, ServedReplay
from mukoe.types import Row

_LOGGER = logging.getLogger(__name__)

_STATISTICS_SECONDS = 2.0


class ReplayNode:
    """Serves the replay until the program stops, and saves it on request.

    server: replay whose methods are served.
    """

    def __init__(self, context: NodeContext):
        """Makes the replay, with the content of the newest checkpoint in a resumed run.

        Args:
          context: description of the run.
        """
        self._context = context
        self._folder = replay_folder(context.workdir)
        with context.runtime.reporting_failures("replay"):
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
        with runtime.reporting_failures("replay"), contextlib.closing(self.server):
            runtime.stop_event.wait()
            runtime.linger()

    def _make_server(self, state: Any = None) -> ReplayServer:
        context = self._context
        experiment, policy = context.experiment, context.make_policy()
        num_envs = experiment.distributed.num_actors * experiment.run.envs_per_actor
        return ReplayServer(
            experiment.builder.replay,
            row_spec(context.environment_spec, policy.extras_spec),
            context.random_seed(SeededPart.REPLAY),
            num_envs,
            state,
            self._make_demonstrations(),
        )

    def _make_demonstrations(self) -> InProcessReplay | None:
        context = self._context
        if context.demonstrations is None:
            return None
        data = read_sources(parse_sources(context.demonstrations), context.environment_spec)
        data = select_demonstrations(data, context.experiment, context.environment_spec)
        policy = context.make_policy()
        made = make_demonstrations(context.experiment, context.environment_spec, policy, data)
        return made.replay


class ServedReplayService:
    """Implementation of `mukoe.layouts.distributed.nodes.runtime.ReplayService`."""

    def __init__(self, client: Client, declaration: ReplayDeclaration):
        """Stores the client.

        Args:
          client: client of a `ReplayNode`.
          declaration: declaration of the replay.
        """
        self._client = client
        self._declaration = declaration
        self._saving: futures.Future[None] | None = None

    def connect(self, row_spec: Row) -> ServedReplay:
        """Returns the handle of the replay.

        Args:
          row_spec: specs of a row.
        """
        return ServedReplay(self._client, self._declaration, row_spec)

    def statistics(self) -> ReplayStatistics | None:
        """Returns the statistics; None if the server is unavailable."""
        answer = self._client.futures.statistics()
        if not futures.wait([answer], _STATISTICS_SECONDS).done or answer.exception():
            return None
        return ReplayStatistics(*answer.result())

    def start_save(self) -> None:
        """Starts to write a checkpoint of the replay, unless one is being written."""
        if self._saving is None or self._saving.done():
            self._saving = self._client.futures.save()

    def wait_for_save(self, seconds: float) -> None:
        """Waits for the checkpoint that is being written, for at most `seconds`."""
        if self._saving is not None and not futures.wait([self._saving], seconds).done:
            _LOGGER.warning(f"the replay was not saved within {seconds:g} s")
