"""Clients that fetch parameters from the learner."""

import threading
import time
from collections.abc import Sequence
from typing import Protocol

import jax

from mukoe.types import PolicyParams


class VariableSource(Protocol):
    """Source of parameters, as `acme.core.VariableSource`."""

    def get_variables(self, names: Sequence[str]) -> list[PolicyParams]: ...


class ConstantVariableSource:
    """Source of parameters that never change, such as those of a checkpoint."""

    def __init__(self, params: PolicyParams):
        self._params = params

    def get_variables(self, names: Sequence[str]) -> list[PolicyParams]:
        """Returns the parameters."""
        return [self._params for _ in names]


class DeviceVariables(Protocol):
    """Holder of parameters on devices, such as a learner."""

    def device_variables(self) -> PolicyParams:
        """Returns the newest parameters, possibly still being computed."""


class DeviceVariableSource:
    """Source of a learner's parameters for actors in its process; nothing is copied to the host."""

    def __init__(self, learner: DeviceVariables, device: jax.Device):
        """Builds the source.

        Args:
          learner: holder of the parameters.
          device: device of the actors.
        """
        self._learner = learner
        self._device = device
        self._newest: tuple[PolicyParams, PolicyParams] | None = None

    def get_variables(self, names: Sequence[str]) -> list[PolicyParams]:
        """Returns the newest parameters on the device; the same object until they change."""
        params = self._learner.device_variables()
        if self._newest is None or self._newest[0].network is not params.network:
            self._newest = (params, put_on_device(params, self._device))
        return [self._newest[1] for _ in names]


def put_on_device(params: PolicyParams, device: jax.Device) -> PolicyParams:
    """Returns parameters on one device; those that are there already are not copied."""
    if jax.tree.leaves(params)[0].sharding.device_set == {device}:
        return params
    return jax.device_put(params, device)


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
          asynchronous: True to fetch in a thread.
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
