"""Handle of the replay of a Reverb server."""

import contextlib
import threading
from collections.abc import Callable

import numpy as np
import reverb

from mukoe.replay.declaration import ReplayDeclaration
from mukoe.replay.handle import ClosableDataset, never
from mukoe.replay.reverb.adder import ReverbAdder
from mukoe.replay.reverb.dataset import LabelledDataset, MixedDataset, ReverbDataset
from mukoe.replay.reverb.reanalysed import ReanalysedDataset, ReanalysedWriter
from mukoe.replay.reverb.tables import demonstration_table, online_table, reanalysed_table
from mukoe.types import Row

_UPDATE_TIMEOUT_S = 10.0


class ReverbReplay:
    """Handle of the replay of a Reverb server, see `mukoe.replay.handle.Replay`."""

    def __init__(self, client: reverb.Client, declaration: ReplayDeclaration, row_spec: Row):
        """Builds the handle; nothing is sent before its first use.

        Args:
          client: client of the server.
          declaration: declaration of the replay.
          row_spec: specs of a row.
        """
        self._client = client
        self._declaration = declaration.acted
        self._num_demonstrated = declaration.demonstrated_items
        self._row_spec = row_spec

    def make_adder(self, should_stop: Callable[[], bool] = never) -> ReverbAdder:
        """Makes the adder of one environment.

        Args:
          should_stop: predicate that ends the adder's wait for a table at its rate limit.
        """
        return ReverbAdder(self._client, self._declaration, self._row_spec, should_stop)

    def make_dataset(self) -> ClosableDataset:
        """Makes an endless iterator over samples, which connects at the first `next`."""
        acted = self._make_acted_dataset()
        if not self._num_demonstrated:
            return acted
        table = demonstration_table(self._declaration)
        demonstrations = self._read(table, self._num_demonstrated)
        return MixedDataset(LabelledDataset(demonstrations, True), LabelledDataset(acted, False))

    def _read(self, table: str, batch_size: int) -> ReverbDataset:
        relative = self._num_demonstrated > 0
        return ReverbDataset(self._client, table, batch_size, relative)

    def _make_acted_dataset(self) -> ClosableDataset:
        declaration = self._declaration
        if declaration.reanalysed_items:
            return self._make_reanalysed_dataset()
        num_replayed = declaration.batch_size - declaration.online_items
        replayed = self._read(declaration.table, num_replayed)
        if not declaration.online_items:
            return replayed
        online = self._read(online_table(declaration), declaration.online_items)
        return MixedDataset(replayed, online)

    def _make_reanalysed_dataset(self) -> ClosableDataset:
        declaration = self._declaration
        table, count = reanalysed_table(declaration), declaration.reanalysed_items
        reanalysed = ReanalysedDataset(ReverbDataset(self._client, table, count))
        num_replayed = declaration.batch_size - count
        if not num_replayed:
            return reanalysed
        return MixedDataset(self.make_reanalyser_dataset(num_replayed), reanalysed)

    def make_reanalyser_dataset(self, batch_size: int) -> ReverbDataset:
        """Makes an endless iterator over samples of stored items.

        Args:
          batch_size: number of items in a sample.
        """
        return self._read(self._declaration.table, batch_size)

    def make_reanalysed_writer(self, should_stop: Callable[[], bool] = never) -> ReanalysedWriter:
        """Makes the writer of reanalysed samples.

        Args:
          should_stop: predicate that ends the writer's wait for room in the table.
        """
        return ReanalysedWriter(self._client, self._declaration, should_stop)

    def update_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
        """Sets the priorities `[B]` of the items with these keys `[B]`; skips removed items.

        With demonstrations, items are in the order of their sample.

        The update is dropped if the server does not answer in time: Reverb's own call would wait
        without a limit.
        """
        count, table = self._num_demonstrated, self._declaration.table
        pairs = list(zip(keys.tolist(), priorities.tolist(), strict=True))

        def update() -> None:
            with contextlib.suppress(RuntimeError):  # Broken connection.
                self._client.mutate_priorities(table, dict(pairs[count:]))
                if count:
                    demonstrations = demonstration_table(self._declaration)
                    self._client.mutate_priorities(demonstrations, dict(pairs[:count]))

        thread = threading.Thread(target=update, daemon=True)
        thread.start()
        thread.join(_UPDATE_TIMEOUT_S)
