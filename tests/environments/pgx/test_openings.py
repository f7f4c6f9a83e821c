"""Random openings of self-play."""

import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.pgx.config import PgxConfig
from tests.environments.pgx.games import random_actions, self_play


def test_openings_have_every_length_and_end_no_game():
    env = self_play("tic_tac_toe", num_envs=600, random_opening_moves=7)
    timestep = env.reset()
    assert timestep.first().all()
    boards = timestep.observation.features.reshape(600, 9, 2)
    lines = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]]
    assert not boards[:, lines].all(2).any()
    own, other = boards.sum(1).T
    assert np.isin(other - own, [0, 1]).all()  # The player to move has as many stones, or one less.
    counts = np.bincount(own + other, minlength=8)
    assert len(counts) == 8
    # 75 of each length are expected; of the long ones fewer, as their last moves may end games.
    assert (counts[:5] > 45).all()
    assert (counts[:5] < 110).all()
    assert len(np.unique(boards[own + other == 1], axis=0)) == 9


def test_seats_are_correct_after_an_opening():
    env = self_play("tic_tac_toe", num_envs=64, random_opening_moves=5)
    timestep, random = env.reset(), np.random.default_rng(0)
    stones = timestep.observation.features.sum((1, 2, 3))
    results, scores = [], {}
    while len(scores) < 64:
        mover_is_first = stones % 2 == 0
        timestep = env.step(random_actions(random, timestep))
        for index in np.flatnonzero(timestep.last()):
            scores.setdefault(
                index, float(timestep.reward[index] * (1 if mover_is_first[index] else -1))
            )
        results += env.finished_episodes()
        stones = timestep.observation.features.sum((1, 2, 3))
    first = {}
    for result in results:
        first.setdefault(result.environment, result.episode_return)
    assert first == scores
    assert set(scores.values()) >= {-1.0, 1.0}


def test_evaluations_start_from_the_initial_position():
    config = PgxConfig("connect_four", random_opening_moves=6)
    assert config.make_factory()(0, 8, False).reset().observation.features.any()
    stones = config.make_factory()(0, 8, True).reset().observation.features.sum((1, 2, 3))
    assert stones.tolist() == [0, 1] * 4
