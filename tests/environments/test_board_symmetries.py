"""Symmetries of boards: hand-written maps, images of whole games, and the length of the longest."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.board_symmetries import board_symmetries
from mukoe.environments.pgx.chance import load_chance_law
from mukoe.environments.pgx.games import PGX_GAMES
from mukoe.environments.pgx.rules import load_rules
from mukoe.errors import UserError
from mukoe.types import BoardArray

# Images of tic-tac-toe's cells 0 to 8, written by hand: entry `a` is the image of cell `a`.
TIC_TAC_TOE = {
    "identity": (0, 1, 2, 3, 4, 5, 6, 7, 8),
    "left to right": (2, 1, 0, 5, 4, 3, 8, 7, 6),
    "upside down": (6, 7, 8, 3, 4, 5, 0, 1, 2),
    "half turn": (8, 7, 6, 5, 4, 3, 2, 1, 0),
    "main diagonal": (0, 3, 6, 1, 4, 7, 2, 5, 8),
    "other diagonal": (8, 5, 2, 7, 4, 1, 6, 3, 0),
    "quarter turn to the right": (2, 5, 8, 1, 4, 7, 0, 3, 6),
    "quarter turn to the left": (6, 3, 0, 7, 4, 1, 8, 5, 2),
}
ORDERS = {"tic_tac_toe": 8, "connect_four": 2, "othello": 8, "go_4x4": 8, "hex_4x4": 2}


def symmetries_of(game):
    return board_symmetries(load_rules(game, None).spec)


def test_maps_of_tic_tac_toe_and_connect_four():
    symmetries = symmetries_of("tic_tac_toe")
    assert {each.actions for each in symmetries} == set(TIC_TAC_TOE.values())
    assert symmetries[0].actions == TIC_TAC_TOE["identity"]
    # A stone on cell 1 is seen on the image of cell 1.
    for symmetry in symmetries:
        image = symmetry.image(np.arange(9).reshape(1, 3, 3, 1) == 1)
        assert np.flatnonzero(image) == symmetry.actions[1]
    assert [each.actions for each in symmetries_of("connect_four")] == [
        (0, 1, 2, 3, 4, 5, 6),
        (6, 5, 4, 3, 2, 1, 0),
    ]


def test_the_pass_and_the_swap_stay():
    assert {each.actions[16] for game in ("go_4x4", "hex_4x4") for each in symmetries_of(game)} == {
        16
    }


def image_of_start(game, start, actions):
    """Returns the image of initial positions, which are symmetric but for Othello."""
    if game != "othello":
        return start
    board = start._x.board[:, np.argsort(actions[:-1])]
    legal = start.legal_action_mask[:, np.argsort(actions)]
    return start.replace(_x=start._x._replace(board=board), legal_action_mask=legal)


@pytest.mark.parametrize("game", ORDERS)
def test_the_image_of_a_game_is_a_game(game):
    rules = load_rules(game, None)
    symmetries = board_symmetries(rules.spec)
    assert len(symmetries) == ORDERS[game]
    keys = jax.random.split(jax.random.PRNGKey(0), 32)

    def move(images, both, key):
        position, image = both
        logits = jnp.where(position.legal_action_mask, 0.0, -jnp.inf)
        action = jax.random.categorical(key, logits)
        after = rules.step(position, action, keys), rules.step(image, images[action], keys)
        return after, after

    @jax.jit
    def play(images, both):
        moves = jax.random.split(keys[0], PGX_GAMES[game].max_moves)
        return jax.lax.scan(functools.partial(move, images), both, moves)[1]

    start = rules.init(keys)
    for symmetry in symmetries[1:]:
        actions = np.array(symmetry.actions)
        assert sorted(actions) == list(range(len(actions)))
        after, image = play(jnp.asarray(actions), (start, image_of_start(game, start, actions)))
        np.testing.assert_array_equal(image.observation, symmetry.image(after.observation))
        for field in ("rewards", "terminated", "current_player"):
            np.testing.assert_array_equal(getattr(image, field), getattr(after, field))
        legal = np.asarray(image.legal_action_mask)[..., actions]
        np.testing.assert_array_equal(legal, after.legal_action_mask)
        assert np.asarray(after.terminated[-1]).all(), "a game is longer than the longest"
        assert (np.asarray(after.rewards) > 0).any()


@pytest.mark.parametrize("game", ["tic_tac_toe", "connect_four"])
def test_no_game_is_longer_than_its_number_of_cells(game):
    spec = load_rules(game, None).spec.observations.features
    assert PGX_GAMES[game].max_moves == spec.shape[0] * spec.shape[1]


def test_hex_and_chess_are_not_mirrored():
    assert [each[:3] for each in symmetries_of("hex_4x4")][1:] == [(False, True, True)]
    assert symmetries_of("gardner_chess") == ()


def test_directions_turn_with_the_board_of_2048():
    """Left, up, right, down: a quarter turn to the right moves left to up."""
    maps = {symmetry[:3]: symmetry.actions for symmetry in symmetries_of("2048")}
    assert maps[False, False, False] == (0, 1, 2, 3)
    assert maps[False, False, True] == (2, 1, 0, 3)
    assert maps[False, True, False] == (0, 3, 2, 1)
    assert maps[True, False, False] == (1, 0, 3, 2)
    assert maps[True, False, True] == (1, 2, 3, 0)
    assert len(set(maps.values())) == 8


@pytest.mark.parametrize("action", range(4))
def test_a_move_of_2048_and_a_symmetry_commute(action):
    law, rules = load_chance_law("2048"), load_rules("2048", None)
    board = jax.random.randint(jax.random.PRNGKey(0), (8, 4, 4), 0, 4)
    features = jax.nn.one_hot(board, rules.spec.observations.features.shape[-1])
    for symmetry in symmetries_of("2048"):
        image = law.move_features(symmetry.image(features), jnp.full(8, symmetry.actions[action]))
        moved = symmetry.image(law.move_features(features, jnp.full(8, action)))
        np.testing.assert_array_equal(image, moved)


def test_a_board_keeps_its_symmetries_between_processes():
    board = pickle.loads(pickle.dumps(BoardArray((3, 4, 2), np.bool_, "mirror", "features")))
    assert (board.shape, board.symmetries, board.name) == ((3, 4, 2), "mirror", "features")
    with pytest.raises(UserError, match=r"shape \(3, 4, 2\) do not have symmetries 'square'"):
        BoardArray((3, 4, 2), np.bool_, "square")
    with pytest.raises(UserError, match="unknown symmetries 'cube' of a board: give mirror"):
        BoardArray((3, 3, 2), np.bool_, "cube")
