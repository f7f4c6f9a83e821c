"""Minimal test of memory: the first observation shows the right action of all later steps.

    o_0 = symbol, flag 1      o_1 .. o_L = random symbols, flag 0
    a_0 has no effect         a_1 .. a_L have reward 1 / L each where they are the first symbol

Later observations are independent of the first one, so that the best agent without memory has an
expected return of 1 / `num_symbols`; with memory it is 1. After RepeatFirst of POPGym (Morad et al.
2023, arXiv:2303.01859).
"""

import dataclasses
from typing import Annotated

import dm_env
import numpy as np
from dm_env import specs
from msgspec import Meta

from mukoe.configuration.bounds import MOST_COMPILED, PositiveInt
from mukoe.configuration.fields import Validated
from mukoe.environments.sync_vector import vectorize
from mukoe.environments.vector import EnvironmentFactory


class RepeatFirstEnvironment(dm_env.Environment):
    """Episodes of `length + 1` steps with one action per symbol."""

    def __init__(self, config: "RepeatFirstConfig", seed: int):
        """Initialises the environment with the seed of the symbols."""
        self._config = config
        self._random = np.random.default_rng(seed)
        self._first = 0
        self._step: int | None = None

    def observation_spec(self) -> specs.Array:
        """Returns the spec of a one-hot symbol and the flag of the first step, `[S + 1]`."""
        return specs.Array((self._config.num_symbols + 1,), np.float32, name="observation")

    def action_spec(self) -> specs.DiscreteArray:
        """Returns the spec of the action, a symbol."""
        return specs.DiscreteArray(self._config.num_symbols, np.int32, name="action")

    def reward_spec(self) -> specs.Array:
        """Returns the spec of the reward, `[]` float32."""
        return specs.Array((), np.float32, name="reward")

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode."""
        self._step = 0
        self._first = self._draw()
        return dm_env.restart(self._observe(self._first, is_first=True))

    def step(self, action: int) -> dm_env.TimeStep:
        """Applies an action; after LAST, starts an episode instead."""
        if self._step is None:
            return self.reset()
        length = self._config.length
        reward = float(self._step > 0 and action == self._first) / length
        self._step += 1
        observation = self._observe(self._draw(), is_first=False)
        if self._step <= length:
            return dm_env.transition(reward, observation, discount=1.0)
        self._step = None
        return dm_env.termination(reward, observation)

    def _draw(self) -> int:
        return int(self._random.integers(self._config.num_symbols))

    def _observe(self, symbol: int, is_first: bool) -> np.ndarray:
        one_hot = np.eye(self._config.num_symbols, dtype=np.float32)[symbol]
        return np.append(one_hot, np.float32(is_first))


@dataclasses.dataclass(frozen=True)
class RepeatFirstConfig(Validated):
    """Settings of the test of memory."""

    # Number of symbols and actions.
    num_symbols: Annotated[int, Meta(ge=2, le=MOST_COMPILED)] = 4
    # Steps after the first one, at each of which its symbol is the right action.
    length: PositiveInt = 16

    def make_factory(self) -> EnvironmentFactory:
        """Returns `factory(seed, num_envs, evaluation)`."""

        def make_environment(seed: int, evaluation: bool) -> RepeatFirstEnvironment:
            del evaluation
            return RepeatFirstEnvironment(self, seed)

        return vectorize(make_environment, name="repeat first")
