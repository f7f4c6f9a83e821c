"""An environment whose observation has a part of every kind."""

import gymnasium
import numpy as np
from gymnasium import spaces

from mukoe.environments.gymnasium.config import GymnasiumConfig

WORDS = ("left", "middle", "right")


class Landmarks(gymnasium.Env):
    """Six steps; the action that the mission names has the reward 1."""

    observation_space = spaces.Dict(
        {
            "picture": spaces.Box(0, 255, (8, 8), np.uint8),
            "cells": spaces.MultiDiscrete(np.broadcast_to([4, 3], (3, 3, 2))),
            "body": spaces.Tuple([spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(3)]),
            "flags": spaces.MultiBinary(2),
            "objects": spaces.Sequence(spaces.Box(-1, 1, (2,), np.float32)),
            "mission": spaces.Text(20, charset="adefghilmnotr "),
        }
    )
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._goal, self._steps = int(self.np_random.integers(3)), 0
        return self._observe(), {}

    def step(self, action):
        self._steps += 1
        return self._observe(), float(action == self._goal), False, self._steps == 6, {}

    def _observe(self):
        random = self.np_random
        return {
            "picture": random.integers(0, 256, (8, 8)).astype(np.uint8),
            "cells": random.integers(0, [4, 3], (3, 3, 2)),
            "body": (random.uniform(-1, 1, 2).astype(np.float32), int(random.integers(3))),
            "flags": random.integers(0, 2, 2).astype(np.int8),
            "objects": tuple(random.uniform(-1, 1, (int(random.integers(4)), 2))),
            "mission": f"go to the {WORDS[self._goal]}",
        }


gymnasium.register("Landmarks-v0", Landmarks)

LANDMARKS = GymnasiumConfig(f"{__name__}:Landmarks-v0", sequence_length=4)
