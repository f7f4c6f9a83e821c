"""Minimal stochastic environment, which a deterministic model cannot represent.

    start --0--> end, with a sure payoff
          --1--> the coin is flipped and shows heads or tails
    heads, tails --0 (call heads), 1 (call tails)--> end

The action after the flip is based on the coin, so that the value of flipping is the mean of the
two payoffs. A deterministic model predicts the mean of the outcomes, with which flipping has the
value of calling one side blindly. With the default payoffs that is 1.5 instead of 2, less than the
sure payoff of 1.75.
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
"""States, as the index of the 1 in the one-hot observation `[4]`."""


class CoinFlipEnvironment(dm_env.Environment):
    """Coin flip with one player, two actions and at most two steps."""

    def __init__(self, config: "CoinFlipConfig", seed: int):
        """Initialises the environment with the payoffs and the seed of the coin."""
        self._config = config
        self._coin = np.random.default_rng(seed)
        self._state = END

    def observation_spec(self) -> specs.Array:
        """Returns the spec of the observation, one-hot `[4]` float32."""
        return specs.Array((4,), np.float32, name="observation")

    def action_spec(self) -> specs.DiscreteArray:
        """Returns the spec of the action, int32 in 0..1."""
        return specs.DiscreteArray(2, np.int32, name="action")

    def reward_spec(self) -> specs.Array:
        """Returns the spec of the reward, `[]` float32."""
        return specs.Array((), np.float32, name="reward")

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode."""
        self._state = START
        return dm_env.restart(self._observe())

    def step(self, action: int) -> dm_env.TimeStep:
        """Applies an action; after LAST, starts an episode instead."""
        if self._state == END:
            return self.reset()
        before = self._state
        if before == START and action == 1:
            self._state = HEADS if self._coin.random() < self._config.heads_probability else TAILS
            return dm_env.transition(0.0, self._observe(), discount=1.0)
        self._state = END
        return dm_env.termination(self._payoff(before, action), self._observe())

    def _payoff(self, state: int, action: int) -> float:
        config = self._config
        if state == START:
            return config.sure_payoff
        if action != state - HEADS:
            return 0.0
        return config.heads_payoff if state == HEADS else config.tails_payoff

    def _observe(self) -> np.ndarray:
        return np.eye(4, dtype=np.float32)[self._state]


@dataclasses.dataclass(frozen=True)
class CoinFlipConfig(Validated):
    """Settings of the coin flip."""

    # Payoff without a flip.
    sure_payoff: float = 1.75
    # Payoff of calling heads when the coin shows heads.
    heads_payoff: float = 3.0
    # Payoff of calling tails when the coin shows tails.
    tails_payoff: float = 1.0
    # Probability of heads.
    heads_probability: UnitInterval = 0.5

    def make_factory(self) -> EnvironmentFactory:
        """Returns `factory(seed, num_envs, evaluation)`."""

        def make_environment(seed: int, evaluation: bool) -> CoinFlipEnvironment:
            del evaluation
            return CoinFlipEnvironment(self, seed)

        return vectorize(make_environment, name="coin flip")
