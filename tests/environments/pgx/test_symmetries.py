"""Mirror images of games, and the length of the longest game."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.pgx.games import PGX_GAMES
from mukoe.environments.pgx.rules import load_rules
from mukoe.environments.pgx.symmetries import mirrored_actions

MIRRORED = ("tic_tac_toe", "connect_four", "othello", "go_4x4")


def mirrored_start(game, start, mirrored):
    """Returns the mirror of initial positions, which are symmetric but for Othello."""
    if game != "othello":
        return start
    board = start._x._replace(board=start._x.board[:, mirrored[:-1]])
    return start.replace(_x=board, legal_action_mask=start.legal_action_mask[:, mirrored])


@pytest.mark.parametrize("game", MIRRORED)
def test_a_mirrored_game_is_the_mirror_of_the_game(game):
    rules = load_rules(game, None)
    mirrored = np.array(mirrored_actions(game, rules.spec))
    assert sorted(mirrored) == list(range(len(mirrored)))
    assert (mirrored[mirrored] == np.arange(len(mirrored))).all()
    images, keys = jnp.asarray(mirrored), jax.random.split(jax.random.PRNGKey(0), 64)

    def move(both, key):
        position, image = both
        logits = jnp.where(position.legal_action_mask, 0.0, -jnp.inf)
        action = jax.random.categorical(key, logits)
        after = rules.step(position, action, keys), rules.step(image, images[action], keys)
        return after, after

    start = rules.init(keys)
    both = start, mirrored_start(game, start, mirrored)
    moves = PGX_GAMES[game].max_moves
    scan = functools.partial(jax.lax.scan, move, xs=jax.random.split(keys[0], moves))
    _, (after, image) = jax.jit(scan)(both)
    np.testing.assert_array_equal(image.observation, after.observation[..., ::-1, :])
    for field in ("rewards", "terminated", "current_player"):
        np.testing.assert_array_equal(getattr(image, field), getattr(after, field))
    np.testing.assert_array_equal(image.legal_action_mask, after.legal_action_mask[..., mirrored])
    assert np.asarray(after.terminated[-1]).all(), "a game is longer than the longest"
    assert (np.asarray(after.rewards) > 0).any()


@pytest.mark.parametrize("game", ["tic_tac_toe", "connect_four"])
def test_no_game_is_longer_than_its_number_of_cells(game):
    spec = load_rules(game, None).spec.observations.features
    assert PGX_GAMES[game].max_moves == spec.shape[0] * spec.shape[1]


def test_hex_is_not_mirrored():
    assert mirrored_actions("hex_4x4", load_rules("hex_4x4", None).spec) is None
