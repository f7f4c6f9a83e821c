"""Names of the actions of Gymnasium environments."""

import enum

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from mukoe.environments.gymnasium.action_names import action_names
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.viewing.action_names import action_names as names_of_vector

DISCRETE = (
    "Acrobot-v1",
    "Blackjack-v1",
    "CartPole-v0",
    "CliffWalking-v1",
    "CliffWalkingSlippery-v1",
    "FrozenLake-v1",
    "FrozenLake8x8-v1",
    "LunarLander-v3",
    "MountainCar-v0",
    "Taxi-v4",
)


class Switch(gymnasium.Env):
    """Environment of any action space."""

    observation_space = spaces.Box(-1.0, 1.0, (2,))

    def __init__(self, action_space):
        self.action_space = action_space


@pytest.mark.parametrize("name", DISCRETE)
def test_environments_of_gymnasium_have_named_actions(name):
    environment = gymnasium.make(name)
    names = action_names(environment)
    assert len(names) == len(set(names)) == environment.action_space.n
    assert not any(text.isdigit() for text in names)


def test_names_reach_the_viewer():
    environment = GymnasiumConfig("CartPole-v1").make_factory()(0, 1, True)
    assert names_of_vector(environment) == ["left", "right"]
    pendulum = GymnasiumConfig("Pendulum-v1").make_factory()(0, 1, True)
    assert names_of_vector(pendulum) == []


def test_native_actions_without_names():
    assert action_names(Switch(spaces.Discrete(2, start=5))) == ["5", "6"]
    product = spaces.MultiDiscrete([2, 3])
    assert action_names(Switch(product))[4] == "(1, 1)"
    assert len(action_names(Switch(product))) == 6


def test_names_of_the_environment():
    meanings = Switch(spaces.Discrete(2))
    meanings.get_action_meanings = lambda: ["NOOP", "FIRE"]
    assert action_names(meanings) == ["NOOP", "FIRE"]
    listed = Switch(spaces.Discrete(2))
    listed.actions = enum.IntEnum("Actions", ["turn", "toggle"], start=0)
    assert action_names(listed) == ["turn", "toggle"]
    # Too many names for the actions, and a wrapper with other actions.
    fewer = Switch(spaces.Discrete(3))
    fewer.get_action_meanings = lambda: ["NOOP", "FIRE"]
    assert action_names(fewer) == ["0", "1", "2"]
    wrapped = gymnasium.wrappers.TransformAction(
        meanings, lambda action: np.int64(0), spaces.Discrete(4)
    )
    assert action_names(wrapped) == ["0", "1", "2", "3"]
