"""Handle of a replay that another process serves."""

import collections
import threading
import time
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any

import numpy as np

from mukoe.errors import UserError
from mukoe.replay.handle import never
from mukoe.replay.in_process.stretch import Stretch
from mukoe.replay.served.adder import ServedAdder
from mukoe.replay.served.waiting import GIVE_UP_SECONDS, RETRY_SECONDS, call_until_done
from mukoe.types import Nest, Row, Sample

# Samples on their way to a reader.
_SAMPLES_AHEAD = 2
# Updates of priorities without an answer.
_UPDATES_AHEAD = 32
_POLL_SECONDS = 0.2


class ServedReplay:
    """Handle of the replay of a `ReplayServer`, a `mukoe.replay.handle.SharedReplay`."""

    def __init__(self, server: Any, row_spec: Row):
        """Stores the client; nothing is sent before its first use.

        Args:
          server: client of a `ReplayServer`, whose `futures.METHOD(...)` start calls.
          row_spec: specs of a row.
        """
        self._server = server
        self._row_spec = row_spec
        self._updates: collections.deque[futures.Future[None]] = collections.deque()
        self._rewritten_server = ""
        self._inserted = 0

    def make_adder(self, should_stop: Callable[[], bool] = never) -> ServedAdder:
        """Makes the adder of one environment.

        Args:
          should_stop: predicate that ends the adder's wait for a replay at its rate limit.
        """
        return ServedAdder(self._server, self._row_spec, should_stop)

    def make_dataset(self) -> "ServedDataset":
        """Makes an endless iterator over samples."""
        return ServedDataset(self._server.futures.sample)

    def make_reanalyser_dataset(self, batch_size: int) -> "ServedDataset":
        """Makes an endless iterator over samples of stored items."""
        return ServedDataset(lambda: self._server.futures.sample_to_reanalyse(batch_size))

    def make_reanalysed_writer(self, should_stop: Callable[[], bool] = never) -> "ServedWriter":
        """Makes the writer of reanalysed samples.

        Args:
          should_stop: predicate that ends the wait for room.
        """
        return ServedWriter(self._server, should_stop)

    def update_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
        """Sets the priorities `[B]` of the items with these keys `[B]`; skips removed items.

        The update is dropped while the server does not answer the ones before.
        """
        while self._updates and self._updates[0].done():
            self._updates.popleft()
        if len(self._updates) < _UPDATES_AHEAD:
            self._updates.append(self._server.futures.update_priorities(keys, priorities))

    @property
    def inserted(self) -> int:
        """Number of items added until the last `stretch`."""
        return self._inserted

    def stretch(self, first: int, size: int) -> Stretch:
        """Returns the rows of the items from key `first` on, see `InProcessReplay.stretch`.

        Raises:
          TimeoutError: the replay is empty, after a restart.
        """
        found = self._server.futures.stretch(first, size).result()
        if found is None:
            raise TimeoutError("the replay is empty")
        self._rewritten_server, self._inserted, stretch = found
        return stretch

    def rewrite(self, stretch: Stretch, extras: Mapping[str, Nest]) -> None:
        """Writes extras `[N, ...]` of the last stretch; a server that has restarted skips them."""
        self._server.futures.rewrite(
            self._rewritten_server, stretch.keys, stretch.slots, dict(extras)
        ).result()


class ServedDataset:
    """Endless iterator over samples, which waits while the server is unavailable."""

    def __init__(self, request: Callable[[], "futures.Future[Sample | None]"]):
        """Starts no request before the first `next`.

        Args:
          request: function that requests a sample; None if the rate limit allows none for now.
        """
        self._request = request
        self._requested: list[futures.Future[Sample | None]] = []
        self._closed = threading.Event()

    def __iter__(self) -> "ServedDataset":
        return self

    def __next__(self) -> Sample:
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        while not self._closed.is_set():
            while len(self._requested) < _SAMPLES_AHEAD:
                self._requested.append(self._request())
            if not futures.wait(self._requested[:1], _POLL_SECONDS).done:
                continue
            try:
                sample = self._requested.pop(0).result()
            except UserError:
                raise
            except Exception:  # the transport's errors have no common class
                if time.monotonic() > give_up_at:
                    raise
                self._closed.wait(RETRY_SECONDS)
                continue
            give_up_at = time.monotonic() + GIVE_UP_SECONDS
            if sample is not None:
                return sample
        raise StopIteration

    def close(self) -> None:
        """Ends the iteration."""
        self._closed.set()


class ServedWriter:
    """Writer of reanalysed samples."""

    def __init__(self, server: Any, should_stop: Callable[[], bool]):
        """Stores the client.

        Args:
          server: client of a `ReplayServer`.
          should_stop: predicate that ends the wait for room.
        """
        self._server = server
        self._should_stop = should_stop

    def write(self, sample: Sample) -> None:
        """Writes the items of a sample, with their keys and probabilities; waits for room."""
        call_until_done(lambda: self._server.futures.write_reanalysed(sample), self._should_stop)

    def close(self) -> None:
        """Does nothing: the connection is the node's."""
