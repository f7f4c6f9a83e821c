"""Adapter of Gymnasium environments to dm_env."""

from typing import Any

import dm_env
import gymnasium
import numpy as np
from dm_env import specs

from mukoe.environments.gymnasium.spaces import make_action_decoder, make_observation_encoder


class GymnasiumEnvironment(dm_env.Environment):
    """dm_env adapter of a Gymnasium environment.

    Action spaces:
      - `Discrete(n, start)`: int32 in 0..n-1; action `a` is `start + a`.
      - `MultiDiscrete(nvec)`: int32 index into the product of `nvec` in C order
        (`np.unravel_index`); with `nvec = [2, 3]` action 4 is `[1, 1]`.
      - `Box` of floats with finite bounds: float32 `[D]`, the entries in C order, with [-1, 1]
        mapped to [low, high] and clipped.

    Observation spaces:
      - `Box` of uint8: unchanged, uint8 in 0..255. Other `Box`, and `MultiBinary`: float32 of the
        same shape.
      - `Discrete`: one-hot float32 `[n]`. `MultiDiscrete`: concatenated one-hots.
      - `Tuple` and `Dict`, also nested, of parts with at most one axis: concatenated parts in the
        order of the space, float32 (uint8 is not rescaled).

    Episode ends: terminated is discount 0, truncated is discount 1, both is terminated.
    """

    def __init__(self, environment: gymnasium.Env, seed: int | None = None):
        """Takes ownership of an environment.

        Args:
            environment: environment, including its wrappers such as TimeLimit.
            seed: seed of the first reset; later episodes continue its random sequence.

        Raises:
            UserError: an action or observation space is not supported.
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
        """Returns the spec of the encoded observation, one float32 or uint8 array."""
        return self._observation_spec

    def action_spec(self) -> specs.BoundedArray:
        """Returns the spec of the action: int32 in 0..A-1, or float32 `[D]` in [-1, 1]."""
        return self._action_spec

    @property
    def action_repeat(self) -> int:
        """Attribute `action_repeat` of a wrapper: environment steps per action; 1 without it."""
        return getattr(self._environment, "action_repeat", 1)

    def reward_spec(self) -> specs.Array:
        """Returns the spec of the reward, `[]` float32."""
        return specs.Array((), np.float32, name="reward")

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode."""
        observation, _ = self._environment.reset(seed=self._seed)
        self._seed = None
        self._restart = False
        return dm_env.restart(self._encode(observation))

    def step(self, action: int | np.ndarray) -> dm_env.TimeStep:
        """Applies an action; after LAST, starts an episode instead."""
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
        """Returns the environment's rendering, `[H, W, 3]` uint8 with `render_mode='rgb_array'`."""
        return self._environment.render()

    def close(self) -> None:
        """Closes the environment."""
        self._environment.close()
