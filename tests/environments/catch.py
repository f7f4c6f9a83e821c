"""Catch (Osband et al. 2020, bsuite), drawn as an image of 32x32 pixels."""

import gymnasium
import numpy as np

CELLS, CELL = 8, 4


class Catch(gymnasium.Env):
    """A ball falls, and a paddle in the last row moves left, stays or moves right.

    The only reward is that of the last step: 1 for a caught ball, -1 for any other.
    """

    observation_space = gymnasium.spaces.Box(0, 255, (CELLS * CELL, CELLS * CELL, 1), np.uint8)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._row, self._paddle = 0, CELLS // 2
        self._column = int(self.np_random.integers(CELLS))
        return self._draw(), {}

    def step(self, action):
        self._row += 1
        self._paddle = int(np.clip(self._paddle + action - 1, 0, CELLS - 1))
        ended = self._row == CELLS - 1
        reward = (1.0 if self._paddle == self._column else -1.0) if ended else 0.0
        return self._draw(), reward, ended, False, {}

    def _draw(self):
        cells = np.zeros((CELLS, CELLS), np.uint8)
        cells[self._row, self._column] = 255
        cells[-1, self._paddle] = 128
        return np.kron(cells, np.ones((CELL, CELL), np.uint8))[..., None]


gymnasium.register("Catch32-v0", Catch)
