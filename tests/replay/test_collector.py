"""Collection of whole episodes."""

import dm_env
import numpy as np
import pytest
from dm_env import specs

from mukoe.replay.collector import EpisodeCollector
from mukoe.replay.declaration import row_spec
from mukoe.types import EnvironmentSpec

SPEC = row_spec(
    EnvironmentSpec(
        specs.Array((1,), np.float32),
        specs.DiscreteArray(9),
        specs.Array((), np.float32),
        specs.BoundedArray((), np.float32, 0.0, 1.0),
    ),
    {"search_value": specs.Array((), np.float32)},
)


def collect(length, max_steps=100, last_discount=0.0, lost_at=None):
    """Episodes of an environment that counts its steps in a buffer that it uses again."""
    found = []
    adder = EpisodeCollector(SPEC, max_steps, found.append)
    observation = np.zeros(1, np.float32)
    adder.add_first(dm_env.restart(observation))
    for t in range(length):
        if t == lost_at:
            adder.reset()
            adder.add_first(dm_env.restart(observation))
        observation[0] = t + 1
        last = t == length - 1
        kind = dm_env.StepType.LAST if last else dm_env.StepType.MID
        discount = np.float32(last_discount if last else 1.0)
        timestep = dm_env.TimeStep(kind, np.float32(10 + t), discount, observation)
        final = {"search_value": np.float32(t + 1)} if last else None
        adder.add(np.int32(t), timestep, {"search_value": np.float32(t)}, final)
    return found


@pytest.mark.parametrize("last_discount", [0.0, 1.0])
def test_an_episode_has_its_final_observation(last_discount):
    (episode,) = collect(3, last_discount=last_discount)
    assert episode.observation[:, 0].tolist() == [0, 1, 2, 3]
    assert episode.action.tolist() == [0, 1, 2, 0] and episode.action.dtype == np.int32
    assert episode.reward.tolist() == [10, 11, 12, 0]
    assert episode.discount.tolist() == [1, 1, last_discount, 0]
    assert episode.mask.tolist() == [1, 1, 1, 0] and episode.mask.dtype == np.float32
    assert episode.extras["search_value"].tolist() == [0, 1, 2, 3]


def test_a_long_episode_comes_in_truncated_parts():
    parts = collect(7, max_steps=3)
    assert [part.action[:-1].tolist() for part in parts] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [part.discount[:-1].tolist() for part in parts] == [[1, 1, 1], [1, 1, 1], [0]]
    assert [part.observation[-1, 0] for part in parts] == [3, 6, 7]
    assert [part.extras["search_value"][-1] for part in parts] == [3, 6, 7]
    assert len(collect(6, max_steps=3)) == 2


def test_the_steps_of_a_lost_environment_are_dropped():
    (episode,) = collect(5, lost_at=3)
    assert episode.action.tolist() == [3, 4, 0]
