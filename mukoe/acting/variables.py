"""How acting processes get parameters: they ask the learner, now and then."""

import threading
import time
from collections.abc import Sequence
from typing import Protocol

from mukoe.types import PolicyParams


class VariableSource(Protocol):
    """Whoever has the parameters; `acme.core.VariableSource`."""

    def get_variables(self, names: Sequence[str]) -> list[PolicyParams]: ...


class VariableClient:
    """The newest parameters that this process has seen, fetched every `period_seconds`.

    With `asynchronous` a thread fetches, so that acting never waits for the learner, and
    a fetch that fails is tried again at the next period (`failures` counts them, and
    `fetched_at` says when one succeeded last, by `time.monotonic`).
    Otherwise `update` fetches in the caller's thread, every `period_updates` calls, which
    makes a run reproducible; with 0 only when it is told to wait.
    """

    def __init__(
        self,
        source: VariableSource,
        *,
        asynchronous: bool = False,
        period_seconds: float = 1.0,
        period_updates: int = 1,
    ):
        self._source = source
        self._asynchronous = asynchronous
        self._period_seconds = period_seconds
        self._period_updates = period_updates
        self._updates = 0
        self._params: PolicyParams | None = None
        self._next_fetch = 0.0
        self._thread: threading.Thread | None = None
        self.failures = 0
        self.fetched_at = float("-inf")

    @property
    def params(self) -> PolicyParams:
        """The newest parameters; waits for the first ones."""
        if self._params is None:
            self._fetch()
        assert self._params is not None
        return self._params

    def restore(self, params: PolicyParams) -> None:
        """Takes parameters that were the newest once; those of a stored run."""
        self._params = params

    def update(self, wait: bool = False) -> None:
        """Fetches, or starts to, where it is time; always, and to the end, with `wait`."""
        if wait:
            return self._fetch()
        if self._asynchronous:
            return self._start_fetch()
        self._updates += 1
        if self._period_updates and self._updates % self._period_updates == 0:
            self._fetch()

    def _fetch(self) -> None:
        (self._params,) = self._source.get_variables(["policy"])
        self.fetched_at = time.monotonic()

    def _start_fetch(self) -> None:
        busy = self._thread is not None and self._thread.is_alive()
        if busy or time.monotonic() < self._next_fetch:
            return
        self._next_fetch = time.monotonic() + self._period_seconds
        self._thread = threading.Thread(target=self._try_fetch, daemon=True)
        self._thread.start()

    def _try_fetch(self) -> None:
        try:
            self._fetch()
        except Exception:  # a remote learner fails in as many ways as its transport
            self.failures += 1
