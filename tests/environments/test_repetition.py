"""Episodes that are the same step by step, and others that only have the same result."""

import dm_env
import numpy as np
import pytest
from dm_env import specs

from mukoe.environments.repetition import RepetitionDetector
from mukoe.environments.sync_vector import SyncVectorEnvironment
from mukoe.types import EpisodeResult


class Walk(dm_env.Environment):
    """Three steps of reward 1 from a place; `places` are those of the episodes."""

    def __init__(self, places):
        self._places, self._time = iter(places), 0

    def reset(self):
        self._place, self._time = next(self._places), 0
        return dm_env.restart(np.float32([self._place]))

    def step(self, action):
        self._time += 1
        observation = np.float32([self._place + self._time])
        if self._time == 3:
            return dm_env.termination(1.0, observation)
        return dm_env.transition(1.0, observation)

    def observation_spec(self):
        return specs.Array((1,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(2)


def play(detector, episodes):
    detector.reset()
    results = []
    while len(results) < episodes:
        detector.step(np.zeros(detector.num_envs, np.int32))
        results += detector.finished_episodes()
    return results[:episodes]


def vector(*places):
    return RepetitionDetector(SyncVectorEnvironment([Walk(episodes) for episodes in places]))


def test_repetitions_count_as_one_episode_and_are_reported_once(caplog):
    detector = vector([0] * 9, [0] * 9)
    for _ in range(2):
        results = play(detector, 6)
        assert detector.without_repetitions(results) == results[:1]
    (record,) = caplog.records
    for word in ("the 6 episodes", "count as one", "noop_max", "sticky_actions", "opening_moves"):
        assert word in record.message


@pytest.mark.parametrize("places", [([0, 0], [0, 5]), ([0, 5], [0, 0]), ([5, 0], [0, 0])])
def test_equal_results_of_different_episodes_count_each(places, caplog):
    detector = vector(*places)
    results = play(detector, 4)
    assert len({result._replace(environment=0) for result in results}) == 1
    assert detector.without_repetitions(results) == results
    assert not caplog.records


def test_one_episode_is_no_repetition(caplog):
    detector = vector([0])
    assert len(detector.without_repetitions(play(detector, 1))) == 1
    assert not caplog.records


def test_episodes_before_the_last_reset_do_not_count():
    detector = vector([0, 5, 5, 5])
    play(detector, 1)
    assert len(detector.without_repetitions(play(detector, 2))) == 1


def test_unfinished_episodes_count_each(caplog):
    detector = vector([0, 0], [0, 0])
    results = [*play(detector, 2), EpisodeResult(1.0, 1, 1, 0)]
    assert detector.without_repetitions(results) == results
    assert not caplog.records


class Seats:
    """Results of games in two seats, which end at every step."""

    num_envs = 2

    def reset(self):
        return self.step(None)

    def step(self, actions):
        return dm_env.TimeStep(np.zeros(2, np.int32), np.ones(2), np.ones(2), np.arange(2))

    def finished_episodes(self):
        return [EpisodeResult(1.0, 3, 3, 0), EpisodeResult(-1.0, 4, 4, 1, seat=1)]


def test_games_count_one_per_seat():
    detector = RepetitionDetector(Seats())
    results = play(detector, 6)
    assert detector.without_repetitions(results) == results[:2]
