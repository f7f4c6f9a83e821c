"""An adder that buffers its calls for another thread."""

from collections.abc import Mapping
from typing import Any

import dm_env
import jax
import numpy as np

from mukoe.replay.handle import Adder


class BufferedAdder:
    """Buffers adder calls so that another thread can replay them on a real adder."""

    def __init__(self) -> None:
        """Starts with an empty buffer."""
        self._calls: list[tuple[str, tuple[Any, ...]]] = []

    def add_first(self, timestep: dm_env.TimeStep) -> None:
        """Buffers the first time step of an episode."""
        self._calls.append(("add_first", (_copy(timestep),)))

    def add(
        self,
        action: np.ndarray,
        next_timestep: dm_env.TimeStep,
        extras: Mapping[str, np.ndarray],
        final_extras: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Buffers a step."""
        self._calls.append(("add", (action, _copy(next_timestep), extras, final_extras)))

    def reset(self, timeout_ms: int | None = None) -> None:
        """Buffers a reset."""
        self._calls.append(("reset", (timeout_ms,)))

    def take(self) -> "BufferedAdder":
        """Moves the buffered calls to a new adder, and returns it."""
        taken = BufferedAdder()
        taken._calls, self._calls = self._calls, []
        return taken

    def replay(self, adder: Adder) -> None:
        """Makes the buffered calls on `adder`."""
        for name, arguments in self._calls:
            getattr(adder, name)(*arguments)


def _copy(timestep: dm_env.TimeStep) -> dm_env.TimeStep:
    """Copies the observation, whose arrays an environment may reuse."""
    return timestep._replace(observation=jax.tree.map(np.array, timestep.observation))
