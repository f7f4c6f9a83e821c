"""Handle of the replay of a Reverb server."""

import contextlib
import threading
from collections.abc import Callable

import numpy as np
import reverb

from mukoe.replay.declaration import ReplayDeclaration
from mukoe.replay.handle import never
from mukoe.replay.reverb.adder import ReverbAdder
from mukoe.replay.reverb.dataset import MixedDataset, ReverbDataset
from mukoe.replay.reverb.tables import fresh_table
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
        self._declaration = declaration
        self._row_spec = row_spec

    def make_adder(self, should_stop: Callable[[], bool] = never) -> ReverbAdder:
        """Makes the adder of one environment.

        Args:
          should_stop: predicate that ends the adder's wait for a table at its rate limit.
        """
        return ReverbAdder(self._client, self._declaration, self._row_spec, should_stop)

    def make_dataset(self) -> ReverbDataset | MixedDataset:
        """Makes an endless iterator over samples, which connects at the first `next`."""
        declaration = self._declaration
        num_replayed = declaration.batch_size - declaration.fresh_items
        replayed = ReverbDataset(self._client, declaration.table, num_replayed)
        if not declaration.fresh_items:
            return replayed
        fresh = ReverbDataset(self._client, fresh_table(declaration), declaration.fresh_items)
        return MixedDataset(replayed, fresh)

    def update_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
        """Sets the priorities `[B]` of the items with these keys `[B]`; skips removed items.

        The update is dropped if the server does not answer in time: Reverb's own call would wait
        without a limit.
        """
        updates = dict(zip(keys.tolist(), priorities.tolist(), strict=True))

        def update() -> None:
            with contextlib.suppress(RuntimeError):  # Broken connection.
                self._client.mutate_priorities(self._declaration.table, updates)

        thread = threading.Thread(target=update, daemon=True)
        thread.start()
        thread.join(_UPDATE_TIMEOUT_S)
