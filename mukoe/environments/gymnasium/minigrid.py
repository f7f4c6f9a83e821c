"""Observations of MiniGrid and BabyAI: grids of objects, and missions of words."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from mukoe.environments.gymnasium.sequences import WordText

_CHOICES = (11, 6, 4)
"""Objects, colours, and states of doors or directions of the agent."""
_PARTS = ("direction", "image", "mission")
_LONGEST_MISSION = 1_000
_BASE_MODULE = "minigrid.minigrid_env"

WORDS = (
    *("red", "green", "blue", "yellow", "purple", "grey"),
    *("wall", "floor", "box", "key", "ball", "door", "doors", "goal", "agent", "lava"),
    *("pick", "avoid", "get", "find", "put", "use", "open", "go", "fetch", "reach", "unlock"),
    *("traverse", "turn", "move", "up", "the", "a", "an", "at", "square", "and", "then", "after"),
    *("to", "of", "room", "rooms", "near", "next", "opening", "must", "you", "matching", "end"),
    *("hallway", "object", "from", "maze", "on", "in", "front", "behind", "your", "left", "right"),
)
"""Words of the missions; another word is the unknown one."""


def is_minigrid(environment: gymnasium.Env) -> bool:
    """Returns whether an environment is one of MiniGrid or BabyAI, or derived from them."""
    bases = type(environment.unwrapped).__mro__
    return any(base.__module__ == _BASE_MODULE for base in bases)


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
                "mission": WordText(_LONGEST_MISSION, WORDS),
            }
        )

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Returns the three parts."""
        return {name: observation[name] for name in _PARTS}


def encode_minigrid(environment: gymnasium.Env) -> gymnasium.Env:
    """Wraps an environment of MiniGrid or BabyAI in a `MiniGridObservation`, no other one.

    An environment whose wrappers have replaced the observations is left alone.
    """
    space = environment.observation_space
    native = isinstance(space, spaces.Dict) and set(space) == set(_PARTS)
    return MiniGridObservation(environment) if native and is_minigrid(environment) else environment
