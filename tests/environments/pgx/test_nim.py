"""Nim for three players: rules and solution against recursion on tuples; self-play and matches."""

import functools
import itertools

import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.multiplayer.nim import HEAPS
from mukoe.environments.pgx.multiplayer.nim_solver import solve_nim
from mukoe.errors import UserError


@functools.cache
def max_n(heaps, player):
    """Returns the values of the three seats and the moves that reach them."""
    if not any(heaps):
        values = np.zeros(3)
        values[(player - 1) % 3], values[player] = 1, -1
        return values, ()
    outcomes = {}
    for heap, taken in itertools.product(range(3), range(1, 6)):
        if taken <= heaps[heap]:
            after = tuple(n - taken * (i == heap) for i, n in enumerate(heaps))
            outcomes[5 * heap + taken - 1] = max_n(after, (player + 1) % 3)[0]
    best = max(values[player] for values in outcomes.values())
    moves = [move for move, values in outcomes.items() if values[player] == best]
    return outcomes[moves[0]], tuple(moves)


def test_the_solution_is_that_of_recursion():
    solved = solve_nim()
    seen = set()
    for heaps in itertools.product(*(range(size + 1) for size in HEAPS)):
        for player in range(3):
            values, moves = max_n(heaps, player)
            np.testing.assert_array_equal(np.roll(values, -player), solved.values[heaps])
            assert tuple(np.flatnonzero(solved.best_actions[heaps])) == moves
            seen.add(tuple(values))
    assert len(seen) == 3


def test_a_game_of_self_play_has_the_rules_of_nim():
    environment = PgxConfig("nim_3p").make_factory()(0, 2, False)
    assert environment.spec.rewards.shape == (3,)
    random = np.random.default_rng(0)
    timestep = environment.reset()
    heaps, player, results = HEAPS, 0, []
    while len(results) < 4:
        observation = timestep.observation
        assert observation.player[0] == player
        assert observation.active.all()
        np.testing.assert_array_equal(observation.features[0, ..., 0].sum(-1), heaps)
        np.testing.assert_array_equal(observation.features[0, 0, 0, 1:], np.arange(3) == player)
        legal = [5 * h + n for h in range(3) for n in range(heaps[h])]
        np.testing.assert_array_equal(np.flatnonzero(observation.legal_actions[0]), legal)
        action = int(random.choice(legal))
        timestep = environment.step(np.full(2, action))
        heaps = tuple(n - (action % 5 + 1) * (i == action // 5) for i, n in enumerate(heaps))
        if any(heaps):
            assert not timestep.reward.any() and timestep.discount[0] == 1
            player = (player + 1) % 3
            continue
        expected = np.zeros(3)
        expected[player], expected[(player + 1) % 3] = 1, -1
        np.testing.assert_array_equal(timestep.reward[0], expected)
        assert timestep.last()[0] and timestep.discount[0] == 0
        results += [environment.finished_episodes()[0].episode_return]
        assert results[-1] == expected[0]
        assert environment.result_text() == f"{'ABC'[player]} won"
        timestep = environment.step(np.zeros(2, int))
        heaps, player = HEAPS, 0


def test_matches_against_perfect_players_end_as_solved():
    """Perfect moves of the agent too: each seat has its value of the solution."""
    environment = PgxConfig("nim_3p", opponent="exact").make_factory()(0, 3, True)
    timestep, finished = environment.reset(), []
    best_actions = solve_nim().best_actions
    while len(finished) < 9:
        heaps = timestep.observation.features[..., 0].sum(-1)
        actions = [int(best_actions[tuple(h)].argmax()) for h in heaps]
        timestep = environment.step(np.array(actions))
        for result in environment.finished_episodes():
            # The agent's reward comes first.
            assert timestep.reward[result.environment, 0] == result.episode_return
            finished.append(result)
    assert {result.seat for result in finished} == {0, 1, 2}
    for result in finished:
        assert result.episode_return == solve_nim().values[HEAPS][result.seat]


def test_the_seats_of_the_agent_change_in_turn():
    environment = PgxConfig("nim_3p").make_factory()(1, 1, True)
    timestep, seats = environment.reset(), []
    while len(seats) < 4:
        timestep = environment.step(timestep.observation.legal_actions.argmax(-1))
        seats += [result.seat for result in environment.finished_episodes()]
    assert seats == [0, 1, 2, 0]


def test_rollouts_against_several_players_are_refused():
    with pytest.raises(UserError, match="'rollout' plays games of two players, not 'nim_3p'"):
        PgxConfig("nim_3p", opponent="rollout")
