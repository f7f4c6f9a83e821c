"""Observations of MiniGrid and BabyAI: grids of objects, and missions of words."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

_CHOICES = (11, 6, 4)
"""Objects, colours, and states of doors or directions of the agent."""
_PARTS = ("direction", "image", "mission")
_LONGEST_MISSION = 1_000

WORDS = (
    *("red", "green", "blue", "yellow", "purple", "grey"),
    *("wall", "floor", "box", "key", "ball", "door", "doors", "goal", "agent", "lava"),
    *("pick", "avoid", "get", "find", "put", "use", "open", "go", "fetch", "reach", "unlock"),
    *("traverse", "turn", "move", "up", "the", "a", "an", "at", "square", "and", "then", "after"),
    *("to", "of", "room", "rooms", "near", "next", "opening", "must", "you", "matching", "end"),
    *("hallway", "object", "from", "maze", "on", "in", "front", "behind", "your", "left", "right"),
)
"""Words of the missions; another word is the unknown one."""


def is_minigrid(env: str) -> bool:
    """Returns whether a name is that of an environment of MiniGrid or BabyAI."""
    return env.rpartition(":")[2].startswith(("MiniGrid-", "BabyAI-"))


class MiniGridObservation(gymnasium.ObservationWrapper):
    """Wrapper whose grids are choices instead of pixels, and whose missions are texts."""

    def __init__(self, environment: gymnasium.Env):
        """Wraps an environment with the observations `image`, `direction` and `mission`."""
        super().__init__(environment)
        space = environment.observation_space
        assert isinstance(space, spaces.Dict)
        shape = space["image"].shape
        assert shape is not None
        self.observation_space = spaces.Dict(
            {
                "direction": space["direction"],
                "image": spaces.MultiDiscrete(np.broadcast_to(_CHOICES, shape)),
                "mission": spaces.Text(_LONGEST_MISSION),
            }
        )

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Returns the three parts."""
        return {name: observation[name] for name in _PARTS}


def encode_minigrid(environment: gymnasium.Env) -> gymnasium.Env:
    """Wraps an environment of MiniGrid or BabyAI in a `MiniGridObservation`, no other one."""
    spec = environment.spec
    return MiniGridObservation(environment) if spec and is_minigrid(spec.id) else environment
