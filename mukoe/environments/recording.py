"""A vector of environments that can be brought back to where it was: by doing it all again."""

import zlib
from collections.abc import Mapping

import dm_env
import numpy as np
import tree
from dm_env import specs

from mukoe.environments.vector import VectorEnvironment
from mukoe.types import EnvironmentSpec, EpisodeResult


class RecordedVector:
    """Passes everything on to a vector, and remembers what was done with it.

    Hardly any environment can be saved, but one that is made with the same seed answers the
    same actions in the same way. So its state is the list of its resets and actions.
    """

    def __init__(self, environment: VectorEnvironment, limit: int):
        """Takes over a vector that was just made.

        Args:
          environment: the vector.
          limit: agent steps that are remembered; with more, nothing is.
        """
        self._environment = environment
        self._limit = limit
        # The actions `[B, ...]` of each call, one after the other; zeros for a reset.
        self._calls: bytearray | None = bytearray()
        self._resets: list[int] = []
        self._count = 0
        actions = environment.spec.actions
        self._zeros = np.zeros((environment.num_envs, *actions.shape), _stored_type(actions))
        self._last: dm_env.TimeStep | None = None

    @property
    def num_envs(self) -> int:
        """`B`."""
        return self._environment.num_envs

    @property
    def spec(self) -> EnvironmentSpec:
        """The spec of one environment."""
        return self._environment.spec

    @property
    def action_repeat(self) -> int:
        """Emulator frames for each agent step."""
        return self._environment.action_repeat

    def reset(self) -> dm_env.TimeStep:
        """Starts a new episode in every stream."""
        self._resets.append(self._count)
        self._remember(self._zeros)
        self._last = self._environment.reset()
        return self._last

    def step(self, actions: np.ndarray) -> dm_env.TimeStep:
        """Takes one action `[B]` in every stream."""
        self._remember(actions)
        self._last = self._environment.step(actions)
        return self._last

    def finished_episodes(self) -> list[EpisodeResult]:
        """Returns, once each, the episodes that ended since the last call."""
        return self._environment.finished_episodes()

    def close(self) -> None:
        """Frees what the environments hold."""
        self._environment.close()

    def state(self) -> dict[str, np.ndarray]:
        """Returns what `repeat` takes; nothing beyond the limit.

        `calls` `[N, B, ...]` are the actions of every call, `resets` `[K]` which of the calls
        were resets, and `checksum` `[]` is that of the last time step.
        """
        if self._calls is None or self._last is None:
            return {}
        calls = np.frombuffer(bytes(self._calls), self._zeros.dtype)
        return {
            "calls": calls.reshape(self._count, *self._zeros.shape),
            "resets": np.array(self._resets, np.int64),
            "checksum": _checksum(self._last),
        }

    def repeat(self, state: Mapping[str, np.ndarray]) -> dm_env.TimeStep | None:
        """Does again what a vector of the same seed has done.

        Returns:
          The last time step; None where it is another one than then. These environments
          answer differently to the same actions, and are of no use any more.
        """
        resets = set(state["resets"].tolist())
        dtype = np.int32 if self._zeros.dtype.kind == "i" else self._zeros.dtype
        for index, actions in enumerate(state["calls"]):
            if index in resets:
                self.reset()
            else:
                self.step(actions.astype(dtype))
            self.finished_episodes()
        same = self._last is not None and _checksum(self._last) == state["checksum"]
        return self._last if same else None

    def _remember(self, actions: np.ndarray) -> None:
        self._count += 1
        if self._calls is None:
            return
        self._calls += np.asarray(actions).astype(self._zeros.dtype).tobytes()
        if self._count * self.num_envs > self._limit:
            self._calls = None


def _stored_type(actions: specs.Array) -> np.dtype:
    if not isinstance(actions, specs.DiscreteArray):
        return np.dtype(actions.dtype)
    return np.dtype(np.int8 if actions.num_values <= 128 else np.int32)


def _checksum(timestep: dm_env.TimeStep) -> np.ndarray:
    checksum = 0
    for leaf in tree.flatten(timestep):
        checksum = zlib.crc32(np.ascontiguousarray(leaf).tobytes(), checksum)
    return np.array(checksum, np.uint32)
