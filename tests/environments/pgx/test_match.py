"""Matches against hand-played games, and the seats of the agent."""

import jax
import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.opponents import Opponent
from mukoe.types import EpisodeResult
from tests.environments.pgx.games import FIRST, LAST, LOWEST, MID, matches, planes, random_actions


def test_a_match_played_by_hand_from_both_seats():
    env = PgxConfig("tic_tac_toe").make_match_factory(LOWEST)(0, 2, True)
    timestep = env.reset()
    # Stream 0 moves first. Stream 1 moves second and finds the opponent's stone at 0.
    np.testing.assert_array_equal(timestep.observation.features[0], planes([], []))
    np.testing.assert_array_equal(timestep.observation.features[1], planes([], [0]))
    timestep = env.step(np.array([4, 4]))
    np.testing.assert_array_equal(timestep.observation.features[0], planes([4], [0]))
    np.testing.assert_array_equal(timestep.observation.features[1], planes([4], [0, 1]))
    assert timestep.discount.tolist() == [1.0, 1.0]
    timestep = env.step(np.array([8, 8]))  # The opponent of stream 1 completes 0, 1, 2.
    assert timestep.step_type.tolist() == [MID, LAST]
    assert timestep.reward.tolist() == [0.0, -1.0]
    assert timestep.discount.tolist() == [1.0, 0.0]
    assert env.finished_episodes() == [EpisodeResult(-1.0, 2, 2, environment=1, seat=1)]
    timestep = env.step(np.array([2, 0]))
    assert timestep.step_type.tolist() == [MID, FIRST]
    # Now stream 1 moves first.
    np.testing.assert_array_equal(timestep.observation.features[1], planes([], []))
    np.testing.assert_array_equal(timestep.observation.features[0], planes([4, 8, 2], [0, 1, 3]))
    timestep = env.step(np.array([5, 0]))  # 2, 5, 8: stream 0 wins, so the opponent does not reply.
    assert timestep.step_type.tolist() == [LAST, MID]
    assert timestep.reward.tolist() == [1.0, 0.0]
    assert timestep.discount.tolist() == [0.0, 1.0]
    assert env.finished_episodes() == [EpisodeResult(1.0, 4, 4, environment=0, seat=0)]


def finish_games(env, wanted, seed=0):
    random, results, timestep = np.random.default_rng(seed), [], env.reset()
    while len(results) < wanted:
        timestep = env.step(random_actions(random, timestep))
        results += env.finished_episodes()
    return results


def test_seats_alternate_and_results_have_the_seat():
    results = finish_games(matches("tic_tac_toe", num_envs=3), 60)
    for stream in range(3):
        seats = [result.seat for result in results if result.environment == stream]
        assert seats == [(stream + game) % 2 for game in range(len(seats))]
    # Random against random: the first player wins 58.5%, loses 28.8% and draws 12.7%.
    scores = finish_games(matches("tic_tac_toe", num_envs=64, seed=1), 2000)
    first = np.mean([result.episode_return for result in scores if result.seat == 0])
    second = np.mean([result.episode_return for result in scores if result.seat == 1])
    np.testing.assert_allclose([first, second], [0.297, -0.297], atol=0.1)


def test_a_dropped_match_is_repeated_from_the_same_seat():
    env = PgxConfig("tic_tac_toe").make_match_factory(LOWEST)(0, 1, True)
    assert env.reset().observation.features.sum() == 0
    env.step(np.array([4]))
    assert env.reset().observation.features.sum() == 0
    for action in (2, 4, 6):
        timestep = env.step(np.array([action]))
    assert timestep.last()
    assert env.reset().observation.features.sum() == 1


def test_the_opponent_receives_the_starts_of_games_and_keeps_its_state():
    """An opponent that plays the cell after its last one, from cell 3 on."""

    def act(key, game, observation, memory, is_first):
        del key, game, observation
        action = jax.numpy.where(is_first, 3, memory + 1)
        return action, action

    opponent = Opponent(lambda batch_size: np.zeros(batch_size, np.int32), act)
    env = PgxConfig("tic_tac_toe").make_match_factory(opponent)(0, 2, True)
    env.reset()
    env.step(np.array([0, 0]))
    timestep = env.step(np.array([1, 8]))
    np.testing.assert_array_equal(timestep.observation.features[0], planes([0, 1], [3, 4]))
    assert timestep.step_type.tolist() == [MID, LAST]  # 3, 4, 5 in stream 1.
    timestep = env.step(np.array([8, 0]))
    assert timestep.step_type.tolist() == [LAST, FIRST]  # 3, 4, 5 in stream 0.
    timestep = env.step(np.array([0, 0]))
    np.testing.assert_array_equal(timestep.observation.features[0], planes([], [3]))
    np.testing.assert_array_equal(timestep.observation.features[1], planes([0], [3]))
