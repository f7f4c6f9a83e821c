"""Pixel observations of Gymnasium environments."""

from typing import Any

import cv2
import gymnasium
import numpy as np
from gymnasium import spaces

from mukoe.errors import UserError


class RenderedObservation(gymnasium.Wrapper):
    """Wrapper that replaces the observations by downscaled renderings, `[H, W, C]` uint8 in 0..255.

    A single picture contains no velocities; use a history of several frames. Rendering is more
    expensive than stepping and is done once per action repeat.
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
          environment: environment with `render_mode='rgb_array'`.
          height: number of rows of the observation.
          width: number of columns of the observation.
          grayscale: True for one luminance channel instead of three colour channels.
          action_repeat: number of environment steps per action; rewards are summed.

        Raises:
          UserError: the render mode is not `rgb_array`.
        """
        super().__init__(environment)
        if environment.render_mode != "rgb_array":
            raise UserError(
                f"{environment.unwrapped} renders no pictures: its render_mode must be "
                f"'rgb_array', not {environment.render_mode!r}"
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
        """Repeats an action, at most to the end of the episode."""
        total = 0.0
        for _ in range(self.action_repeat):
            _, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return self._picture(), total, terminated, truncated, info

    def _picture(self) -> np.ndarray:
        """Returns the downscaled rendering, `[H, W, C]` uint8.

        Raises:
            UserError: the rendering is no picture.
        """
        frame: Any = self.env.render()
        shape: tuple[int, ...] = getattr(frame, "shape", ())
        dtype = getattr(frame, "dtype", type(frame).__name__)
        if len(shape) != 3 or shape[2] != 3 or dtype != np.uint8:
            raise UserError(
                f"render() must return a picture [H, W, 3] uint8; got shape {shape}, dtype {dtype}"
            )
        if self._grayscale:
            frame = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        resized = cv2.resize(frame, self._size, interpolation=cv2.INTER_AREA)
        return resized.reshape(self.observation_space.shape or ())
