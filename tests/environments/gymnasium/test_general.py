"""Settings of Gymnasium environments for any agent."""

import gymnasium
import numpy as np
import pytest

from mukoe.environments.checks import EnvironmentFailedError
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.environments.gymnasium.general import amplify, with_general_settings
from mukoe.errors import UserError
from mukoe.layouts.common.dataset_metadata import describe_environment


def test_small_entries_are_amplified_and_others_are_not():
    environment = amplify(gymnasium.make("MountainCar-v0"))
    np.testing.assert_allclose(environment.observation_space.high, [0.6, 1.0])
    environment.reset(seed=0)
    environment.unwrapped.state = np.array([-0.5, 0.035])
    observation = environment.step(1)[0]
    position, velocity = environment.unwrapped.state
    np.testing.assert_allclose(observation, [position, velocity / 0.07], rtol=1e-5)
    assert observation.dtype == np.float32


@pytest.mark.parametrize("name", ["Pendulum-v1", "FrozenLake-v1", "Blackjack-v1"])
def test_other_observations_are_unchanged(name):
    environment = gymnasium.make(name)
    assert amplify(environment) is environment


def test_config_amplifies():
    config = with_general_settings(GymnasiumConfig("MountainCar-v0"))
    vector = config.make_factory()(0, 2, False)
    vector.reset()
    velocities = [vector.step(np.full(2, 2)).observation[:, 1] for _ in range(3)]
    assert np.max(velocities) > 0.02
    vector.close()


class Chosen(gymnasium.Env):
    """Environment with a mask in one place, or whose `reset` has another form or fails."""

    def __init__(self, place):
        self.place = place
        self.action_space = gymnasium.spaces.Discrete(2)
        image = gymnasium.spaces.Box(0, 255, (4, 4, 1), np.uint8)
        mask = gymnasium.spaces.Box(0, 1, (2,), np.int8)
        parts = {"observation": image, "action_mask": mask}
        is_masked = place == "observation"
        self.observation_space = gymnasium.spaces.Dict(parts) if is_masked else image

    def reset(self, *, seed=None, options=None):
        image = np.zeros((4, 4, 1), np.uint8)
        if self.place == "wrong":
            return image
        if self.place == "failing":
            raise OSError("no display")
        mask = np.int8([1, 0])
        if self.place == "observation":
            return {"observation": image, "action_mask": mask}, {}
        return image, {"action_mask": mask} if self.place == "info" else {}


def test_an_environment_that_cannot_be_closed_is_used_with_a_warning(caplog):
    class Unclosable(Chosen):
        def close(self):
            raise RuntimeError("cannot\nclose")

    name = "Unclosable-v0"
    gymnasium.register(name, Unclosable, max_episode_steps=9)
    try:
        config = with_general_settings(GymnasiumConfig(name, {"place": "none"}))
        vector = config.make_factory()(0, 1, False)
        assert "env_spec" not in describe_environment(config), "a class cannot be serialised"
    finally:
        del gymnasium.registry[name]
    vector.reset()
    vector.close()
    warning = f"Gymnasium {name}: close() raised RuntimeError: cannot close"
    assert caplog.messages == [
        *[warning] * 3,
        warning.replace(":", ", environment 0 of the vector:", 1),
    ]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("observation", "observation"),
        ("info", "info"),
        *((place, "none") for place in ("none", "wrong", "failing")),
    ],
)
def test_the_mask_is_used_where_the_environment_has_it(place, expected, caplog):
    name = "Chosen-v0"
    gymnasium.register(name, Chosen, max_episode_steps=9)
    try:
        config = with_general_settings(GymnasiumConfig(name, {"place": place}))
        assert config.action_mask == expected
        vector = config.make_factory()(0, 2, False)
        if place == "wrong":
            with pytest.raises(UserError, match=r"reset\(\) must return \(observation, info\)"):
                vector.reset()
        elif place == "failing":
            with pytest.raises(EnvironmentFailedError, match=r"reset\(\) raised OSError: no disp"):
                vector.reset()
        else:
            vector.reset()
    finally:
        del gymnasium.registry[name]
    assert not caplog.records, "a mask that is used is not reported as unused"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("CartPoel-v1", "there is no Gymnasium environment 'CartPoel-v1'; did you mean CartPole"),
        ("no_such_module:Some-v0", "cannot import Gymnasium environment 'no_such_module:Some-v0'"),
    ],
)
def test_an_environment_that_cannot_be_built_gets_one_line(name, message):
    with pytest.raises(UserError, match=message):
        with_general_settings(GymnasiumConfig(name))
