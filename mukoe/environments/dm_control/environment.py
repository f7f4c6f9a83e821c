"""Adapter of the DeepMind Control Suite's tasks to the specs of agents."""

import functools
import logging
from typing import Any

import dm_env
import numpy as np
from dm_control.rl import control
from dm_env import specs

from mukoe.environments.dm_control.config import DmControlConfig
from mukoe.environments.headless_rendering import in_render_thread, require_rendering
from mukoe.errors import UserError

_LOGGER = logging.getLogger(__name__)

# Pixels of a video's frame.
_VIDEO_SIZE = 480


class DmControlEnvironment(dm_env.Environment):
    """Task of the suite with one array per observation and with actions in [-1, 1].

    Actions are float32 `[D]`; -1 and 1 are exactly the bounds of the task, and values between them
    are linear. Observations are the task's arrays, flattened and concatenated in its order,
    float32 `[N]`, or a picture `[H, W, 3]` uint8. The end of the time limit is a truncation
    (discount 1).
    """

    def __init__(self, environment: Any, config: DmControlConfig):
        """Takes ownership of a task.

        Args:
            environment: `dm_control.rl.control.Environment`.
            config: settings of the task.
        """
        self._environment = environment
        self._config = config
        self.action_repeat = config.action_repeat
        actions = environment.action_spec()
        self._low = np.broadcast_to(actions.minimum, actions.shape).astype(np.float64)
        self._high = np.broadcast_to(actions.maximum, actions.shape).astype(np.float64)
        self._restart = True
        self._is_rendered = False
        self._observation: np.ndarray | None = None

    def observation_spec(self) -> specs.Array:
        """Returns the spec of the observation, float32 `[N]` or uint8 `[H, W, 3]`."""
        if self._config.pixels:
            shape = (self._config.height, self._config.width, 3)
            return specs.BoundedArray(shape, np.uint8, 0, 255, name="observation")
        parts = self._environment.observation_spec().values()
        size = sum(int(np.prod(part.shape)) for part in parts)
        return specs.Array((size,), np.float32, name="observation")

    def action_spec(self) -> specs.BoundedArray:
        """Returns the spec of the action, float32 `[D]` in [-1, 1]."""
        return specs.BoundedArray(self._low.shape, np.float32, -1.0, 1.0, name="action")

    def reward_spec(self) -> specs.BoundedArray:
        """Returns the spec of the reward, `[]` float32: the suite's are in [0, 1] per step."""
        return specs.BoundedArray((), np.float32, 0.0, self.action_repeat, name="reward")

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode."""
        self._restart = False
        self._observation = self._observe(self._environment.reset())
        return dm_env.restart(self._observation)

    def step(self, action: np.ndarray) -> dm_env.TimeStep:
        """Repeats an action, at most to the end of the episode; after LAST, starts one instead."""
        if self._restart:
            return self.reset()
        native, reward = self.decode_action(action), 0.0
        try:
            for _ in range(self.action_repeat):
                timestep = self._environment.step(native)
                reward += float(timestep.reward)
                if timestep.last():
                    break
        except control.PhysicsError as error:
            return self._end_after(error, reward)
        self._restart = timestep.last()
        self._observation = self._observe(timestep)
        return timestep._replace(reward=reward, observation=self._observation)

    def decode_action(self, action: np.ndarray) -> np.ndarray:
        """Returns an action of the agent as the task takes it, float64 `[D]` within its bounds."""
        share = np.clip(action, -1.0, 1.0).astype(np.float64)
        scaled = self._low + (share + 1.0) / 2.0 * (self._high - self._low)
        same = (self._low == -1.0) & (self._high == 1.0)
        return np.where(same, share, np.clip(scaled, self._low, self._high))

    def render(self) -> np.ndarray:
        """Returns a picture `[480, 480, 3]` uint8.

        Raises:
            UserError: this machine cannot render.
        """
        return self._picture(_VIDEO_SIZE, _VIDEO_SIZE)

    def close(self) -> None:
        """Closes the task and its rendering contexts."""
        self._environment.close()
        if self._is_rendered:
            in_render_thread(self._environment.physics.free)

    def _end_after(self, error: control.PhysicsError, reward: float) -> dm_env.TimeStep:
        """Returns the termination of an episode whose simulation has diverged.

        The observation is the last valid one, the discount is 0 as in `dm_control.composer`.
        """
        text = " ".join(str(error).split())
        _LOGGER.warning(f"'{self._config.task}' has diverged, and its episode ends: {text}")
        self._restart = True
        return dm_env.termination(reward, self._observation)

    def _observe(self, timestep: dm_env.TimeStep) -> np.ndarray:
        if self._config.pixels:
            return self._picture(self._config.height, self._config.width)
        parts = [np.ravel(part) for part in timestep.observation.values()]
        return np.concatenate(parts).astype(np.float32)

    def _picture(self, height: int, width: int) -> np.ndarray:
        require_rendering()
        physics, camera = self._environment.physics, self._config.camera
        if camera >= physics.model.ncam:
            raise UserError(
                f"'{self._config.task}' has {physics.model.ncam} cameras: environment.camera must "
                f"be at most {physics.model.ncam - 1}, not {camera}"
            )
        self._is_rendered = True
        return in_render_thread(functools.partial(physics.render, height, width, camera_id=camera))
