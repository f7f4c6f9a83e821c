"""Parameters of a server, fetched and copied to its devices while it serves."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from mukoe.acting.variables import VariableClient
from mukoe.types import PolicyParams

_KEPT_VERSIONS = 8


class Version(NamedTuple):
    """One version of the parameters.

    on_devices: the same parameters on each of the server's devices.
    learner_steps: learner step of the parameters.
    """

    on_devices: Sequence[PolicyParams]
    learner_steps: int


class ServerParameters:
    """Newest parameters on every device, and the last versions for the actors' searches."""

    def __init__(
        self,
        variables: VariableClient,
        devices: Sequence[jax.Device],
        search_params: Callable[[PolicyParams], PolicyParams] | None,
    ):
        """Stores the client; `refresh` fetches the first parameters.

        Args:
          variables: client of the parameters.
          devices: devices that serve.
          search_params: function that returns the parameters of the actors' search, which are
            kept for `get`; None to keep nothing.
        """
        self._variables = variables
        self._devices = devices
        self._search_params = search_params
        self._kept: dict[int, PolicyParams] = {}
        self._newest: Version | None = None

    def refresh(self) -> None:
        """Publishes new parameters, if any; meanwhile batches use the previous ones."""
        self._variables.update()
        params = self._variables.params
        steps = int(params.learner_steps)
        if self._newest is not None and self._newest.learner_steps == steps:
            return
        if self._search_params is not None:
            kept = {**self._kept, steps: jax.tree.map(np.asarray, self._search_params(params))}
            self._kept = dict(list(kept.items())[-_KEPT_VERSIONS:])
        copies = [jax.device_put(params, device) for device in self._devices]
        self._newest = Version(jax.block_until_ready(copies), steps)

    @property
    def newest(self) -> Version | None:
        """Version for the next batch; None before the first `refresh`."""
        return self._newest

    def get(self, learner_steps: int) -> PolicyParams:
        """Returns the search parameters of a version.

        Raises:
          LookupError: the version is no longer kept.
        """
        params = self._kept.get(learner_steps)
        if params is None:
            raise LookupError(f"the parameters of update {learner_steps} are kept no longer")
        return params

    def age(self, learner_steps: int) -> int:
        """Returns the number of updates between a version and the newest one received."""
        return int(self._variables.params.learner_steps) - learner_steps

    @property
    def seconds_since_fetched(self) -> float:
        """Seconds since the last successful fetch."""
        return time.monotonic() - self._variables.fetched_at

    @property
    def failures(self) -> int:
        """Number of failed fetches."""
        return self._variables.failures
