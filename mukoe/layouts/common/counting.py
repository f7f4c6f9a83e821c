"""The counts of a run, and clients of a remote counter."""

import contextlib
import threading
import time
from collections.abc import Mapping
from typing import Any

# Seconds between two tries to reach a counter that does not respond.
_RETRY_SECONDS = 2.0


class Counter:
    """Counts and newest reports of a run; thread-safe.

    The counts of a run are `actor_steps` (agent steps), `environment_frames` (emulator
    frames), `episodes` and `learner_steps`.
    """

    def __init__(self, counts: Mapping[str, int] | None = None):
        """Starts from `counts`; they are empty by default."""
        self._counts = dict(counts or {})
        self._reports: dict[str, Any] = {}
        self._lock = threading.Lock()

    def increment(self, **counts: int) -> dict[str, int]:
        """Adds to the counts and returns all of them."""
        with self._lock:
            for name, value in counts.items():
                self._counts[name] = self._counts.get(name, 0) + value
            return dict(self._counts)

    def get_counts(self) -> dict[str, int]:
        """Returns all counts."""
        return self.increment()

    def set_counts(self, **counts: int) -> None:
        """Sets counts, such as those of a restored checkpoint."""
        with self._lock:
            self._counts.update(counts)

    def report(self, **values: Any) -> None:
        """Stores the newest value of each name, for the progress line and the summary."""
        with self._lock:
            self._reports.update(values)

    def snapshot(self) -> tuple[dict[str, int], dict[str, Any]]:
        """Returns the counts and the newest reports."""
        with self._lock:
            return dict(self._counts), dict(self._reports)


class BufferedCounter:
    """Client that increments a remote `Counter` at most every `period_seconds`.

    `increment` returns the last received counts plus the increments that are still buffered.
    """

    def __init__(self, counter: Any, period_seconds: float = 0.5):
        """Buffers increments of a counter.

        Args:
          counter: client of the remote `Counter`.
          period_seconds: seconds between two requests.
        """
        self._counter = counter
        self._period = period_seconds
        self._pending: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._next_flush = 0.0

    def start_from(self, counts: Mapping[str, int]) -> None:
        """Sets the counts that are returned until the counter responds."""
        self._counts = dict(counts)

    def increment(self, **counts: int) -> dict[str, int]:
        """Adds to the counts and returns the `known` ones."""
        for name, value in counts.items():
            self._pending[name] = self._pending.get(name, 0) + value
        if time.monotonic() >= self._next_flush:
            self.flush()
        return self.known

    @property
    def known(self) -> dict[str, int]:
        """The last received counts plus the buffered increments."""
        names = {**self._counts, **self._pending}
        return {name: self._counts.get(name, 0) + self._pending.get(name, 0) for name in names}

    def flush(self) -> bool:
        """Sends the buffered increments.

        Returns:
          Whether the counter responded; the increments stay buffered if it did not.
        """
        try:
            self._counts = self._counter.increment(**self._pending)
        except Exception:  # the transport's errors have no common class
            self._next_flush = time.monotonic() + _RETRY_SECONDS
            return False
        self._pending = {}
        self._next_flush = time.monotonic() + self._period
        return True


class FaultTolerantCounterClient:
    """Client of a remote `Counter` that tolerates an unavailable server.

    Reports are dropped, and `get_counts` returns the last received counts.
    """

    def __init__(self, counter: Any):
        """Wraps the client of a remote `Counter`."""
        self._counter = counter
        self._counts: dict[str, int] = {}

    def increment(self, **counts: int) -> dict[str, int]:
        """Forwards to `Counter.increment`; errors of the transport are raised."""
        return self._counter.increment(**counts)

    def set_counts(self, **counts: int) -> None:
        """Forwards to `Counter.set_counts`; errors of the transport are raised."""
        self._counter.set_counts(**counts)

    def correct(self, **counts: int) -> None:
        """Sets counts that a restarted counter may have lost; dropped if it is unavailable."""
        with contextlib.suppress(Exception):
            self.set_counts(**counts)

    def get_counts(self) -> dict[str, int]:
        """Returns all counts; the last received ones if the counter is unavailable."""
        with contextlib.suppress(Exception):
            self._counts = self._counter.get_counts()
        return self._counts

    def report(self, **values: Any) -> None:
        """Forwards to `Counter.report`; dropped if the counter is unavailable."""
        with contextlib.suppress(Exception):
            self._counter.report(**values)
