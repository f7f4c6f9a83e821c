"""The counts of a run, kept in one place for all of its parts."""

import contextlib
import threading
import time
from collections.abc import Mapping
from typing import Any

# Between two tries to reach a counter that does not answer.
_PAUSE_SECONDS = 2.0


class Counter:
    """Counts and newest reports of a run; safe to call from any thread.

    The counts of a run are `actor_steps` (agent steps), `environment_frames` (emulator
    frames), `episodes` and `learner_steps`.
    """

    def __init__(self, counts: Mapping[str, int] | None = None):
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
        """Sets counts, such as those of a checkpoint that is gone back to."""
        with self._lock:
            self._counts.update(counts)

    def report(self, **values: Any) -> None:
        """Keeps the newest value of each, for whoever looks at the run."""
        with self._lock:
            self._reports.update(values)

    def snapshot(self) -> tuple[dict[str, int], dict[str, Any]]:
        """Returns the counts and the newest reports."""
        with self._lock:
            return dict(self._counts), dict(self._reports)


class BufferedCounter:
    """Increments a remote `Counter` at most every `period_seconds`.

    `increment` returns the newest counts known here, its own increments included.
    """

    def __init__(self, counter: Any, period_seconds: float = 0.5):
        self._counter = counter
        self._period = period_seconds
        self._pending: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._next_flush = 0.0

    def start_from(self, counts: Mapping[str, int]) -> None:
        """Knows these counts, until the counter says more."""
        self._counts = dict(counts)

    def increment(self, **counts: int) -> dict[str, int]:
        """Adds to the counts and returns all of them, as far as they are known."""
        for name, value in counts.items():
            self._pending[name] = self._pending.get(name, 0) + value
        if time.monotonic() >= self._next_flush:
            self.flush()
        return self.known

    @property
    def known(self) -> dict[str, int]:
        """All counts, as far as they are known here."""
        names = {**self._counts, **self._pending}
        return {name: self._counts.get(name, 0) + self._pending.get(name, 0) for name in names}

    def flush(self) -> bool:
        """Sends what is pending; returns False, and keeps it, where the counter does not answer."""
        try:
            self._counts = self._counter.increment(**self._pending)
        except Exception:  # the transport's errors have no common class
            self._next_flush = time.monotonic() + _PAUSE_SECONDS
            return False
        self._pending = {}
        self._next_flush = time.monotonic() + self._period
        return True


class FaultTolerantCounterClient:
    """A remote `Counter` that may be away for a while: what is not needed is passed over."""

    def __init__(self, counter: Any):
        self._counter = counter
        self._counts: dict[str, int] = {}

    def increment(self, **counts: int) -> dict[str, int]:
        """As `Counter.increment`; raises what the transport raises."""
        return self._counter.increment(**counts)

    def set_counts(self, **counts: int) -> None:
        """As `Counter.set_counts`; raises what the transport raises."""
        self._counter.set_counts(**counts)

    def correct(self, **counts: int) -> None:
        """As `set_counts`; passed over where the counter does not answer.

        A counter that has died was not told again what it had heard last.
        """
        with contextlib.suppress(Exception):
            self.set_counts(**counts)

    def get_counts(self) -> dict[str, int]:
        """Returns all counts, the last known ones where the counter does not answer."""
        with contextlib.suppress(Exception):
            self._counts = self._counter.get_counts()
        return self._counts

    def report(self, **values: Any) -> None:
        """As `Counter.report`; passed over where the counter does not answer."""
        with contextlib.suppress(Exception):
            self._counter.report(**values)
