"""Gymnasium environments as they look: what they draw is the observation."""

from typing import Any

import cv2
import gymnasium
import numpy as np
from gymnasium import spaces

from mukoe.errors import UserError


class RenderedObservation(gymnasium.Wrapper):
    """Replaces the observations of an environment by its pictures, scaled down.

    An agent sees one picture, so speeds are seen only with a history of several. Drawing costs
    more than stepping: with an action repeat it is done once for several steps.
    """

    def __init__(
        self,
        environment: gymnasium.Env,
        height: int,
        width: int,
        grayscale: bool,
        action_repeat: int = 1,
    ):
        """Wraps an environment.

        Args:
          environment: made with `render_mode='rgb_array'`.
          height: rows of the observation.
          width: columns of the observation.
          grayscale: whether it has one channel, the luminance, instead of three.
          action_repeat: steps of the environment for each action; rewards are summed.

        Raises:
          UserError: the environment does not draw pictures.
        """
        super().__init__(environment)
        if environment.render_mode != "rgb_array":
            raise UserError(
                f"{environment.unwrapped} draws no pictures: its render_mode must be 'rgb_array', "
                f"not {environment.render_mode!r}"
            )
        self._size = (width, height)
        self._grayscale = grayscale
        self.action_repeat = action_repeat
        shape = (height, width, 1 if grayscale else 3)
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode."""
        _, info = self.env.reset(seed=seed, options=options)
        return self._picture(), info

    def step(self, action: Any) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        """Takes an action, as often as it is repeated or to the episode's end."""
        total = 0.0
        for _ in range(self.action_repeat):
            _, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return self._picture(), total, terminated, truncated, info

    def _picture(self) -> np.ndarray:
        """Returns what the environment draws, `[H, W, C]` uint8."""
        frame: Any = self.env.render()
        if self._grayscale:
            frame = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        resized = cv2.resize(frame, self._size, interpolation=cv2.INTER_AREA)
        return resized.reshape(self.observation_space.shape or ())
