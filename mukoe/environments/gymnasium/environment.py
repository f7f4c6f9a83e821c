"""Adapter of Gymnasium environments to dm_env."""

from typing import Any

import dm_env
import gymnasium
import numpy as np
from dm_env import specs

from mukoe.environments.gymnasium.spaces import make_action_decoder, make_observation_encoder


class GymnasiumEnvironment(dm_env.Environment):
    """A Gymnasium environment seen through dm_env.

    Actions. `Discrete(n, start)`: action `a` is `start + a`. `MultiDiscrete(nvec)`: one action
    out of the product of `nvec`, the last entry changing fastest (`np.unravel_index`, C order),
    so with `nvec = [2, 3]` action 4 is `[1, 1]`. `Box` of floats with finite bounds: a vector of
    its entries in C order, float32 in [-1, 1] for [low, high]; what lies outside is clipped.

    Observations. `Box` of floats: float32; of uint8: as it is; of anything else, and
    `MultiBinary`: float32. `Discrete`: one-hot float32 `[n]`. `MultiDiscrete`: its one-hots one
    after the other. `Tuple` and `Dict`, nested too, of parts with at most one axis: all parts
    one after the other in the order of the space, float32 (uint8 is not rescaled).

    Ends. Terminated is discount 0; truncated is discount 1; both is terminated.
    """

    def __init__(self, environment: gymnasium.Env, seed: int | None = None):
        """Takes over an environment.

        Args:
            environment: the environment, with whatever wrappers (TimeLimit) it should have.
            seed: given to the first reset only; later episodes go on with its generator.

        Raises:
            UserError: its actions or observations are of an unsupported kind.
        """
        self._environment = environment
        self._seed = seed
        name = environment.spec.id if environment.spec else type(environment.unwrapped).__name__
        self._action_spec, self._decode = make_action_decoder(environment.action_space, name)
        self._observation_spec, self._encode = make_observation_encoder(
            environment.observation_space, name
        )
        self._restart = True

    def observation_spec(self) -> specs.Array:
        """Returns the one array that an observation is."""
        return self._observation_spec

    def action_spec(self) -> specs.BoundedArray:
        """Returns the number of actions (`DiscreteArray`), or the length of one and its bounds."""
        return self._action_spec

    @property
    def action_repeat(self) -> int:
        """Steps of the environment for each action, where a wrapper says so, else 1."""
        return getattr(self._environment, "action_repeat", 1)

    def reward_spec(self) -> specs.Array:
        """Returns a float32."""
        return specs.Array((), np.float32, name="reward")

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode."""
        observation, _ = self._environment.reset(seed=self._seed)
        self._seed = None
        self._restart = False
        return dm_env.restart(self._encode(observation))

    def step(self, action: int | np.ndarray) -> dm_env.TimeStep:
        """Takes an action; after LAST, starts an episode instead."""
        if self._restart:
            return self.reset()
        observation, reward, terminated, truncated, _ = self._environment.step(self._decode(action))
        encoded, reward = self._encode(observation), float(reward)
        self._restart = bool(terminated or truncated)
        if terminated:
            return dm_env.termination(reward, encoded)
        if truncated:
            return dm_env.truncation(reward, encoded, discount=1.0)
        return dm_env.transition(reward, encoded, discount=1.0)

    def render(self) -> Any:
        """Returns what the environment draws: a picture if made with `render_mode='rgb_array'`."""
        return self._environment.render()

    def close(self) -> None:
        """Closes the environment."""
        self._environment.close()
