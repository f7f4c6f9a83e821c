"""The counts of a run, kept in one place for all of its parts."""

import threading
import time
from collections.abc import Mapping
from typing import Any


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

    def flush(self) -> None:
        """Sends what is pending."""
        self._counts = self._counter.increment(**self._pending)
        self._pending = {}
        self._next_flush = time.monotonic() + self._period
