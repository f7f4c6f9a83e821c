"""Matches between players with known games."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.environments.pgx.opponents import Opponent
from mukoe.environments.pgx.rules import load_rules
from mukoe.evaluation.matches import Matches
from mukoe.evaluation.players import Player, make_fixed_player, rules_with_opening


def play(player, opponent, games=4, moves=0, seed=0):
    matches = Matches(rules_with_opening("tic_tac_toe", moves), games)
    return matches(player, opponent, jax.random.PRNGKey(seed))


def scripted(cells):
    """Plays the cells one after the other; its memory is how many it has played."""

    def act(key, game, observation, memory, is_first):
        memory = jnp.where(is_first, 0, memory)
        return jnp.asarray(cells)[memory], memory + 1

    # A memory that is not reset would play the last cell.
    return Player("script", lambda _: Opponent(lambda size: jnp.full(size, 2, jnp.int32), act))


def test_each_side_has_its_own_memory_and_seat():
    """Each script completes a row in three moves, so the first player wins."""
    first, second = play(scripted([0, 1, 2]), scripted([3, 4, 5]))
    np.testing.assert_array_equal(first, np.ones(4))
    np.testing.assert_array_equal(second, -np.ones(4))


def test_memories_start_anew_in_both_seats():
    """One script is no row, so the other wins even when it moves second."""
    row, none = scripted([3, 4, 5]), scripted([0, 1, 8])
    np.testing.assert_array_equal(play(row, none), np.ones((2, 4)))
    np.testing.assert_array_equal(play(none, row), -np.ones((2, 4)))


def test_parameters_are_arguments():
    """Players that share `make` share one compiled match; the parameters select the script."""

    def make(params):
        def act(key, game, observation, memory, is_first):
            memory = jnp.where(is_first, 0, memory)
            return params[memory], memory + 1

        return Opponent(lambda size: jnp.zeros(size, jnp.int32), act)

    winner, slow = np.array([6, 7, 8, 8]), np.array([0, 4, 5, 1])
    matches = Matches(load_rules("tic_tac_toe", None), 1)
    key = jax.random.PRNGKey(0)
    one = matches(Player("a", make, winner), Player("b", make, slow), key)
    other = matches(Player("b", make, slow), Player("a", make, winner), key)
    assert [scores.item() for scores in one] == [1.0, 1.0]
    assert [scores.item() for scores in other] == [-1.0, -1.0]
    assert len(matches._compiled) == 1


def test_perfect_play_never_loses_and_mostly_beats_random_play():
    exact = make_fixed_player("exact", "tic_tac_toe", 0)
    random = make_fixed_player("random", "tic_tac_toe", 0)
    for first, second in (play(exact, random, 100), [-s for s in play(random, exact, 100)][::-1]):
        assert min(first) >= 0 and min(second) >= 0
        assert np.mean(first) > 0.9 and np.mean(second) > 0.6
        assert np.mean(first) > np.mean(second)
    np.testing.assert_array_equal(play(exact, exact, 50), np.zeros((2, 50)))


def test_random_play_has_the_known_advantage_of_the_first_move():
    """Random tic-tac-toe: the first wins 58.5 %, the second 28.8 % of the games."""
    random = make_fixed_player("random", "tic_tac_toe", 0)
    first, second = play(random, random, 2_000)
    for scores in (first, -second):
        assert np.mean(scores > 0) == pytest.approx(0.585, abs=0.04)
        assert np.mean(scores < 0) == pytest.approx(0.288, abs=0.04)


def test_same_key_same_games():
    random = make_fixed_player("random", "tic_tac_toe", 0)
    np.testing.assert_array_equal(play(random, random, 30), play(random, random, 30))
    assert np.any(play(random, random, 30)[0] != play(random, random, 30, seed=1)[0])


def test_openings_differ_and_leave_the_turn_with_who_began():
    rules = rules_with_opening("tic_tac_toe", 1)
    keys = jax.random.split(jax.random.PRNGKey(0), 200)
    plain, games = load_rules("tic_tac_toe", None).init(keys), rules.init(keys)
    np.testing.assert_array_equal(games.current_player, plain.current_player)
    own, others = np.asarray(rules.observe(games).features).reshape(200, 9, 2).transpose(2, 0, 1)
    assert set(own.sum(1)) == set(others.sum(1)) == {1}
    assert len({(a.argmax(), b.argmax()) for a, b in zip(own, others, strict=True)}) > 60


def test_openings_that_end_the_game_are_taken_back():
    games = rules_with_opening("tic_tac_toe", 4).init(jax.random.split(jax.random.PRNGKey(0), 100))
    assert not np.any(games.terminated)
    stones = np.asarray(games.observation).sum(axis=(1, 2, 3))
    assert set(stones) == {0, 8}
