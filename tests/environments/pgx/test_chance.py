"""The law of chance of 2048 against pgx's own steps and boards moved by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.pgx.chance import load_chance_law
from mukoe.environments.pgx.rules import load_rules
from mukoe.errors import UserError

LAW = load_chance_law("2048")
RULES = load_rules("2048", max_steps=None)
STEP = jax.jit(RULES.step)


def positions(number, moves):
    """Returns positions after random legal moves from the start, of games that go on."""
    key = jax.random.PRNGKey(3)
    now = RULES.init(jax.random.split(key, number))
    for move in range(moves):
        keys = jax.random.split(jax.random.fold_in(key, move), number)
        action = jax.vmap(lambda k, legal: jax.random.categorical(k, jnp.log(legal)))(
            keys, now.legal_action_mask.astype(jnp.float32)
        )
        now = STEP(now, action, keys)
    return jax.tree.map(lambda leaf: leaf[~now.terminated][:16], now)


def board_of(rows):
    """Returns a position `[1]` with the exponents of the tiles."""
    start = RULES.init(jax.random.PRNGKey(0)[None])
    return start.replace(_board=jnp.array(rows, jnp.int32).reshape(1, 16))


def moved_by_hand(line):
    """Returns a line after a move to the left, and its reward."""
    tiles, merged, reward = [tile for tile in line if tile], [], 0
    while tiles:
        tile = tiles.pop(0)
        if tiles and tiles[0] == tile:
            tile = tiles.pop(0) + 1
            reward += 2**tile
        merged.append(tile)
    return merged + [0] * (4 - len(merged)), reward


@pytest.mark.parametrize("action", range(4))
def test_moves_are_those_of_the_game(action):
    now = positions(32, 40)
    moved = LAW.move(now, jnp.full((16,), action))
    turned = np.rot90(np.asarray(now._board).reshape(-1, 4, 4), action, axes=(1, 2))
    lines = [[moved_by_hand(line) for line in board] for board in turned]
    boards = np.rot90([[line for line, _ in board] for board in lines], -action, axes=(1, 2))
    np.testing.assert_array_equal(moved._board, boards.reshape(-1, 16))
    rewards = [sum(reward for _, reward in board) for board in lines]
    np.testing.assert_array_equal(moved.rewards[:, 0], rewards)


def test_features_are_moved_as_positions_are():
    now = positions(32, 40)
    action = jnp.arange(16) % 4
    np.testing.assert_array_equal(
        LAW.move_features(now.observation, action), LAW.move(now, action).observation
    )


def test_a_step_of_the_game_is_one_of_the_possible_outcomes():
    now = positions(32, 40)
    action = jnp.argmax(now.legal_action_mask, axis=1)
    after = STEP(now, action, jax.random.split(jax.random.PRNGKey(1), 16))
    moved = LAW.move(now, action)
    new = np.asarray(after._board != moved._board)
    np.testing.assert_array_equal(new.sum(axis=1), 1)
    cell = np.argmax(new, axis=1)
    outcome = 2 * cell + np.asarray(after._board)[np.arange(16), cell] - 1
    happened = LAW.happen(moved, jnp.asarray(outcome))
    for name in ("_board", "legal_action_mask", "terminated", "rewards", "observation"):
        np.testing.assert_array_equal(getattr(happened, name), getattr(after, name), err_msg=name)
    assert np.exp(LAW.logits(moved)[np.arange(16), outcome]).min() > 0


def test_probabilities_are_those_of_the_rules_and_of_drawn_games():
    now = board_of([[1, 1, 2, 3], [2, 3, 4, 5], [3, 4, 5, 6], [4, 5, 6, 7]])
    moved = LAW.move(now, jnp.array([0]))  # 4 4 8 _ in the first row: one free cell
    probabilities = np.exp(LAW.logits(moved))[0]
    expected = np.zeros(32)
    expected[[6, 7]] = 0.9, 0.1
    np.testing.assert_allclose(probabilities, expected, rtol=1e-6)
    number = 4_000
    many = jax.tree.map(lambda leaf: jnp.repeat(leaf, number, axis=0), now)
    keys = jax.random.split(jax.random.PRNGKey(2), number)
    after = RULES.step(many, jnp.zeros((number,), jnp.int32), keys)
    share = np.mean(np.asarray(after._board)[:, 3] == 2)
    assert abs(share - 0.1) < 4 * np.sqrt(0.09 / number)


def test_games_without_a_known_law_are_refused():
    with pytest.raises(UserError, match="backgammon"):
        load_chance_law("backgammon")
