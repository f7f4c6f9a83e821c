"""Names of the actions of Gymnasium environments."""

import enum
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

_LEFT_DOWN_RIGHT_UP = ("left", "down", "right", "up")
_UP_RIGHT_DOWN_LEFT = ("up", "right", "down", "left")
# Gymnasium's own environments, by their names without namespace and version.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "Acrobot": ("torque -1", "torque 0", "torque +1"),
    "Blackjack": ("stick", "hit"),
    "CarRacing": ("coast", "steer right", "steer left", "gas", "brake"),
    "CartPole": ("left", "right"),
    "CliffWalking": _UP_RIGHT_DOWN_LEFT,
    "CliffWalkingSlippery": _UP_RIGHT_DOWN_LEFT,
    "FrozenLake": _LEFT_DOWN_RIGHT_UP,
    "FrozenLake8x8": _LEFT_DOWN_RIGHT_UP,
    "LunarLander": ("none", "left engine", "main engine", "right engine"),
    "MountainCar": ("left", "none", "right"),
    "Taxi": ("south", "north", "east", "west", "pick up", "drop off"),
}


def action_names(environment: gymnasium.Env) -> list[str]:
    """Returns the names of the actions of a Discrete or MultiDiscrete action space.

    The names are those of the environment's `get_action_meanings()` (ALE) or of its enumeration
    `actions` (MiniGrid), or known ones of Gymnasium's environments; otherwise the native actions.
    """
    space = environment.action_space
    names = [str(action) for action in _native_actions(space)]
    if space != environment.unwrapped.action_space:
        return names  # A wrapper has other actions than the environment.
    known = _meanings(environment.unwrapped)
    return known if len(known) == len(names) else names


def _native_actions(space: spaces.Space) -> list[Any]:
    if isinstance(space, spaces.MultiDiscrete):
        sizes = tuple(int(n) for n in space.nvec.flat)
        start = np.ravel(space.start)
        return [tuple((start + choices).tolist()) for choices in np.ndindex(sizes)]
    assert isinstance(space, spaces.Discrete), "continuous actions have no names"
    return [int(space.start) + action for action in range(int(space.n))]


def _meanings(environment: Any) -> list[str]:
    if callable(meanings := getattr(environment, "get_action_meanings", None)):
        return [str(name) for name in meanings()]
    actions = getattr(environment, "actions", None)
    if isinstance(actions, type) and issubclass(actions, enum.Enum):
        return [action.name for action in sorted(actions, key=lambda action: action.value)]
    return list(_NAMES.get(environment.spec.name if environment.spec else "", ()))
