"""Clients that fetch parameters from the learner."""

import threading
import time
from collections.abc import Sequence
from typing import Protocol

from mukoe.types import PolicyParams


class VariableSource(Protocol):
    """Source of parameters, as `acme.core.VariableSource`."""

    def get_variables(self, names: Sequence[str]) -> list[PolicyParams]: ...


class VariableClient:
    """Client that holds the last fetched parameters.

    An asynchronous client fetches in a thread every `period_seconds`, so that acting never waits
    for the learner. A failed fetch is retried after the next period.

    A synchronous client fetches in the caller's thread at every `period_updates`-th `update`,
    which makes a run reproducible.

    failures: number of failed asynchronous fetches.
    fetched_at: time of the last successful fetch, by `time.monotonic`.
    """

    def __init__(
        self,
        source: VariableSource,
        *,
        asynchronous: bool = False,
        period_seconds: float = 1.0,
        period_updates: int = 1,
    ):
        """Builds the client; the first parameters are fetched when they are needed.

        Args:
          source: source of the parameters.
          asynchronous: whether a thread fetches.
          period_seconds: seconds between two fetches of an asynchronous client.
          period_updates: calls of `update` per fetch of a synchronous client; with 0 only
            `update(wait=True)` fetches.
        """
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
        """The last fetched parameters; fetches the first ones."""
        if self._params is None:
            self._fetch()
        assert self._params is not None
        return self._params

    def restore(self, params: PolicyParams) -> None:
        """Sets the parameters, such as those of a stored run."""
        self._params = params

    def update(self, wait: bool = False) -> None:
        """Fetches parameters, or starts to, if a period is over; with `wait` fetches at once."""
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
