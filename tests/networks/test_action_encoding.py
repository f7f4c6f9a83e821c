"""Actions as inputs of the dynamics."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from mukoe.errors import UserError
from mukoe.networks.history import HistoryConfig
from mukoe.networks.models import make_muzero_networks
from tests.networks.tiny import TINY, compiled, observation_for, random_params, spec_of


def on_board(encoding, shape, actions, torso="board"):
    config = dataclasses.replace(
        TINY, torso=torso, action_encoding=encoding, dynamics_blocks=0, scale_hidden_state=False
    )
    return compiled(
        make_muzero_networks(
            spec_of(specs.Array(shape, np.float32), actions), HistoryConfig(), config
        )
    )


def touched_cells(encoding, shape, actions, one, other):
    """Cells `[H, W]` of the next state that differ between actions `one` and `other`."""
    networks = on_board(encoding, shape, actions)
    params = random_params(networks.init)
    state = networks.representation(params, observation_for(shape, np.float32))
    after = [networks.dynamics(params, state, jnp.full(2, action))[0] for action in (one, other)]
    return np.abs(after[0] - after[1]).max(axis=(0, -1)) > 1e-5


def test_an_action_enters_at_its_cell():
    expected = np.zeros((4, 5), bool)
    expected[0:2, 0:2] = expected[2:4, 2:5] = True  # a 3x3 kernel around (0, 0) and (3, 3)
    np.testing.assert_array_equal(touched_cells("cell", (4, 5, 2), 20, 0, 18), expected)
    expected[2:4, 2:5] = False
    np.testing.assert_array_equal(touched_cells("cell", (4, 5, 2), 21, 0, 20), expected)  # a pass


def test_an_action_enters_along_its_column():
    expected = np.zeros((3, 7), bool)
    expected[:, 0:2] = expected[:, 4:7] = True
    np.testing.assert_array_equal(touched_cells("column", (3, 7, 2), 7, 0, 5), expected)
    assert touched_cells("planes", (3, 7, 2), 7, 0, 5).all()


@pytest.mark.parametrize(
    ("encoding", "torso", "actions", "message"),
    [
        ("column", "board", 6, "takes 7 actions, not 6"),
        ("cell", "board", 7, "takes 21 or 22 actions, not 7"),
        ("cell", "flat", 21, "needs torso 'board'"),
        ("row", "board", 3, "action_encoding must be one of planes, cell, column, not 'row'"),
    ],
)
def test_actions_without_a_place_on_the_board_are_refused(encoding, torso, actions, message):
    with pytest.raises(UserError, match=message):
        on_board(encoding, (3, 7, 2), actions, torso)
