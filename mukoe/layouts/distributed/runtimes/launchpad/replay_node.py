"""Reverb as a node of the program, and the connection of the other nodes to it."""

import contextlib
import functools
from pathlib import Path

import launchpad as lp
import reverb
from launchpad import address as lp_address
from launchpad.nodes.reverb.node import ReverbHandle
from reverb.errors import DeadlineExceededError

from mukoe.layouts.common.offline_data import agent_episodes
from mukoe.layouts.distributed.nodes.context import NodeContext
from mukoe.layouts.distributed.nodes.runtime import ReplayStatistics
from mukoe.layouts.distributed.runtimes.launchpad.replay_server import (
    ReplaySaver,
    replay_folder,
    serve,
)
from mukoe.replay.declaration import ReplayDeclaration, row_spec
from mukoe.replay.reverb import ReverbReplay, make_tables
from mukoe.replay.reverb.demonstrations import fill_demonstrations, num_items
from mukoe.replay.reverb.tables import demonstration_table, reanalysed_table
from mukoe.types import Row

_STATISTICS_SECONDS = 2


class ReplayNode(lp.ReverbNode):
    """Reverb server that keeps serving after the stop, until the other nodes have finished."""

    def __init__(self, context: NodeContext):
        super().__init__(functools.partial(_make_tables, context))
        self._context = context

    def create_handle(self) -> "ReplayHandle":
        """Returns the handle that other nodes dereference to a `ReverbService`."""
        declaration = self._context.experiment.builder.replay
        handle = ReplayHandle(self._address, declaration, self._context.workdir)
        return self._track_handle(handle)

    def run(self) -> None:
        """Serves until the program stops."""
        runtime = self._context.runtime
        with runtime.reporting_failures("replay"):
            port = lp_address.get_port_from_address(self._address.resolve())
            folder = replay_folder(self._context.workdir) if self._context.saves_replay else None
            server = serve(self._priority_tables_fn, port, folder)
            if self._context.demonstrations is not None:
                _fill(self._context, reverb.Client(f"localhost:{port}"))
            runtime.stop_event.wait()
            runtime.linger()
            del server


def _make_tables(context: NodeContext) -> list[reverb.Table]:
    rows = row_spec(context.environment_spec, context.make_policy().extras_spec)
    declaration, count = context.experiment.builder.replay, 0
    if (data := context.read_demonstrations()) is not None:
        count = num_items(declaration, data.episodes)
    return make_tables(declaration, rows, count)


def _fill(context: NodeContext, client: reverb.Client) -> None:
    """Fills the table of demonstrations."""
    data, policy = context.read_demonstrations(), context.make_policy()
    assert data is not None
    declaration = context.experiment.builder.replay
    fill_demonstrations(
        client,
        declaration,
        row_spec(context.environment_spec, policy.extras_spec),
        agent_episodes(data, policy),
        num_items(declaration, data.episodes),
        context.runtime.stop_event.is_set,
    )


class ReplayHandle(ReverbHandle):
    """Handle of a `ReplayNode`."""

    def __init__(self, address: lp_address.Address, declaration: ReplayDeclaration, workdir: Path):
        super().__init__(address)
        self._declaration = declaration
        self._workdir = workdir

    def dereference(self) -> "ReverbService":
        """Connects to the server."""
        return ReverbService(super().dereference(), self._declaration, self._workdir)


class ReverbService:
    """Implementation of `mukoe.layouts.distributed.nodes.runtime.ReplayService`."""

    def __init__(self, client: reverb.Client, declaration: ReplayDeclaration, workdir: Path):
        """Stores the client.

        Args:
          client: client of the server.
          declaration: declaration of the replay.
          workdir: directory of the run, in which the server writes checkpoints.
        """
        self._client = client
        self._declaration = declaration
        self._saver = ReplaySaver(client, workdir)

    def connect(self, row_spec: Row) -> ReverbReplay:
        """Returns the handle of the replay.

        Args:
          row_spec: specs of a row.
        """
        return ReverbReplay(self._client, self._declaration, row_spec)

    def statistics(self) -> ReplayStatistics | None:
        """Returns the statistics; None if the server is unavailable."""
        with contextlib.suppress(RuntimeError, DeadlineExceededError):
            tables = self._client.server_info(timeout=_STATISTICS_SECONDS)
            # Its items were sampled from the table of stored items before.
            tables.pop(reanalysed_table(self._declaration), None)
            tables.pop(demonstration_table(self._declaration), None)
            table = tables[self._declaration.table]
            return ReplayStatistics(
                size=table.current_size,
                inserted=table.rate_limiter_info.insert_stats.completed,
                sampled=sum(t.rate_limiter_info.sample_stats.completed for t in tables.values()),
            )
        return None

    def start_save(self) -> None:
        """Starts to write a checkpoint of the replay, unless one is being written."""
        self._saver.start()

    def wait_for_save(self, seconds: float) -> None:
        """Waits for the checkpoint that is being written, for at most `seconds`."""
        self._saver.wait(seconds)
