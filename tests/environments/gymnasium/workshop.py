"""A small environment of mixed actions with a known optimum: choose a tool, then how hard."""

import gymnasium
import numpy as np

NAME = "Workshop-v0"
WORTH = (0.2, 0.6, 1.0)
FORCES = (0.5, -0.2, -0.6)
BEST_RETURN = 1.0


class Workshop(gymnasium.Env):
    """Episodes of two steps: the first takes a tool in hand, the second strikes with a force.

    The reward comes with the second step: the worth of the tool in hand, less the square of the
    distance to its force. The observation is the tool in hand, one-hot; zeros before the choice.
    """

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (len(WORTH),), np.float32)
    action_space = gymnasium.spaces.Dict(
        {
            "force": gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32),
            "tool": gymnasium.spaces.Discrete(len(WORTH)),
        }
    )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.tool = None
        return self._observation(), {}

    def step(self, action):
        if self.tool is None:
            self.tool = int(action["tool"])
            return self._observation(), 0.0, False, False, {}
        distance = float(action["force"][0]) - FORCES[self.tool]
        return self._observation(), WORTH[self.tool] - distance**2, True, False, {}

    def _observation(self):
        one_hot = np.zeros(len(WORTH), np.float32)
        if self.tool is not None:
            one_hot[self.tool] = 1.0
        return one_hot


gymnasium.register(NAME, Workshop)
