"""Settings of Gymnasium environments for any agent."""

import gymnasium
import numpy as np
import pytest

from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.environments.gymnasium.general import amplify, with_general_settings


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
