"""Base class of wrappers of a vector environment."""

import dm_env
import numpy as np

from mukoe.environments.vector import VectorEnvironment
from mukoe.types import EnvironmentSpec, EpisodeResult


class VectorWrapper:
    """Wrapper of a vector environment that forwards every call, a `VectorEnvironment`."""

    def __init__(self, environment: VectorEnvironment):
        """Wraps a vector environment."""
        self._environment = environment

    @property
    def num_envs(self) -> int:
        """Number of environments `B`."""
        return self._environment.num_envs

    @property
    def spec(self) -> EnvironmentSpec:
        """Specs of one environment."""
        return self._environment.spec

    @property
    def action_repeat(self) -> int:
        """Emulator frames per agent step."""
        return self._environment.action_repeat

    def reset(self) -> dm_env.TimeStep:
        """Starts a new episode in every stream."""
        return self._environment.reset()

    def step(self, actions: np.ndarray) -> dm_env.TimeStep:
        """Applies one action per stream, `[B]` or `[B, D]`."""
        return self._environment.step(actions)

    def finished_episodes(self) -> list[EpisodeResult]:
        """Returns the episodes that ended since the last call."""
        return self._environment.finished_episodes()

    def close(self) -> None:
        """Releases the resources of all environments."""
        self._environment.close()
