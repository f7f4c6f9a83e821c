"""The smallest game in which luck matters: a coin is flipped, and what it shows can be called.

    start --0--> the end, with a sure payoff
          --1--> the coin is flipped, and shows heads or tails
    heads, tails --0 (call heads), 1 (call tails)--> the end

Who has seen the coin calls it rightly, so that flipping is worth the mean of the two payoffs.
A model that foresees the mean of what may happen cannot know this: to it, flipping is worth
what calling one side blindly brings. With the default payoffs that is 1.5 instead of 2, less
than the sure payoff of 1.75.
"""

import dataclasses

import dm_env
import numpy as np
from dm_env import specs

from mukoe.configuration.bounds import UnitInterval
from mukoe.configuration.fields import Validated
from mukoe.environments.sync_vector import vectorize
from mukoe.environments.vector import EnvironmentFactory

START, HEADS, TAILS, END = range(4)
"""What is seen, as the index of the 1 in an observation `[4]`."""


class CoinFlipEnvironment(dm_env.Environment):
    """One player, two actions, at most two steps."""

    def __init__(self, config: "CoinFlipConfig", seed: int):
        """Takes the payoffs and the seed of the coin."""
        self._config = config
        self._coin = np.random.default_rng(seed)
        self._seen = END

    def observation_spec(self) -> specs.Array:
        """Returns a one-hot of what is seen."""
        return specs.Array((4,), np.float32, name="observation")

    def action_spec(self) -> specs.DiscreteArray:
        """Returns two actions."""
        return specs.DiscreteArray(2, np.int32, name="action")

    def reward_spec(self) -> specs.Array:
        """Returns a float32."""
        return specs.Array((), np.float32, name="reward")

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode."""
        self._seen = START
        return dm_env.restart(self._observe())

    def step(self, action: int) -> dm_env.TimeStep:
        """Takes an action; after the end, starts an episode instead."""
        if self._seen == END:
            return self.reset()
        before = self._seen
        if before == START and action == 1:
            self._seen = HEADS if self._coin.random() < self._config.heads_probability else TAILS
            return dm_env.transition(0.0, self._observe(), discount=1.0)
        self._seen = END
        return dm_env.termination(self._payoff(before, action), self._observe())

    def _payoff(self, seen: int, action: int) -> float:
        config = self._config
        if seen == START:
            return config.sure_payoff
        if action != seen - HEADS:
            return 0.0
        return config.heads_payoff if seen == HEADS else config.tails_payoff

    def _observe(self) -> np.ndarray:
        return np.eye(4, dtype=np.float32)[self._seen]


@dataclasses.dataclass(frozen=True)
class CoinFlipConfig(Validated):
    """The payoffs, and how fair the coin is."""

    # For not flipping.
    sure_payoff: float = 1.75
    # For calling heads where the coin shows heads.
    heads_payoff: float = 3.0
    # For calling tails where the coin shows tails.
    tails_payoff: float = 1.0
    # Of heads.
    heads_probability: UnitInterval = 0.5

    def make_factory(self) -> EnvironmentFactory:
        """Returns `factory(seed, num_envs, evaluation)`."""

        def make_environment(seed: int, evaluation: bool) -> CoinFlipEnvironment:
            del evaluation
            return CoinFlipEnvironment(self, seed)

        return vectorize(make_environment, name="coin flip")
