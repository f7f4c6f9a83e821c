"""Single environments from a factory of vectors."""

from collections.abc import Callable
from typing import Any

import dm_env
import numpy as np
import tree
from dm_env import specs

from mukoe.environments.sync_vector import SyncFactory
from mukoe.environments.vector import EnvironmentFactory, VectorEnvironment
from mukoe.types import EpisodeResult, Nest

MakeEnvironment = Callable[[int, bool], dm_env.Environment]
"""Function `(seed, evaluation) -> dm_env.Environment`."""


def single_environments(factory: EnvironmentFactory) -> MakeEnvironment:
    """Returns the constructor of single environments of a factory of vectors.

    If vectors consist of single environments, the constructor with the seed of an environment
    builds that environment. Otherwise it builds a vector of one environment.
    """
    if isinstance(factory, SyncFactory):
        return factory.make_environment
    return lambda seed, evaluation: _SingleEnvironment(factory(seed, 1, evaluation))


class _SingleEnvironment(dm_env.Environment):
    """dm_env adapter of a vector of one environment, which reports its episodes."""

    def __init__(self, vector: VectorEnvironment):
        self._vector = vector
        self._ended = False
        actions = vector.spec.actions
        self._any_action = np.broadcast_to(actions.minimum, actions.shape).astype(actions.dtype)
        self.action_repeat = vector.action_repeat
        self._results: list[EpisodeResult] = []

    def observation_spec(self) -> Nest:
        return self._vector.spec.observations

    def action_spec(self) -> specs.BoundedArray:
        return self._vector.spec.actions

    def reward_spec(self) -> specs.Array:
        return self._vector.spec.rewards

    def discount_spec(self) -> specs.BoundedArray:
        return self._vector.spec.discounts

    def reset(self) -> dm_env.TimeStep:
        # After LAST the vector restarts automatically, as in a run without a server.
        if self._ended:
            return self.step(self._any_action)
        return self._unbatch(self._vector.reset())

    def step(self, action: Any) -> dm_env.TimeStep:
        return self._unbatch(self._vector.step(np.asarray(action)[None]))

    def episode_result(self) -> EpisodeResult | None:
        return self._results[0] if self._results else None

    def close(self) -> None:
        self._vector.close()

    def _unbatch(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
        self._results = self._vector.finished_episodes()
        single = tree.map_structure(lambda leaf: leaf[0], timestep)
        self._ended = bool(single.last())
        return single
