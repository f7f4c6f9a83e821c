"""Fully observed games: the state can be rebuilt from the observation."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mukoe.environments.pgx.rules import GameState, Rules
from mukoe.errors import UserError
from mukoe.types import Array


class FullyObservedGame(NamedTuple):
    """Properties of a two-player game that pgx does not state.

    max_moves: number of moves of the longest game, of both players together.
    legal_actions: function `features [B, H, W, C] -> legal actions [B, A]` bool.
    mirrored_actions: action `[A]` that corresponds to each action after a reflection that reverses
        the axis `W` of the features, a symmetry of the game.
    """

    max_moves: int
    legal_actions: Callable[[Array], jax.Array]
    mirrored_actions: tuple[int, ...]


def _is_empty(features: Array) -> jax.Array:
    """Returns `[B, H, W]` bool, True on cells without a stone."""
    return ~jnp.any(features, axis=-1)


FULLY_OBSERVED_GAMES: Mapping[str, FullyObservedGame] = {
    "tic_tac_toe": FullyObservedGame(
        max_moves=9,
        legal_actions=lambda features: _is_empty(features).reshape(features.shape[0], 9),
        mirrored_actions=(2, 1, 0, 5, 4, 3, 8, 7, 6),
    ),
    "connect_four": FullyObservedGame(
        max_moves=42,
        legal_actions=lambda features: _is_empty(features)[:, 0],
        mirrored_actions=(6, 5, 4, 3, 2, 1, 0),
    ),
}
"""Games of pgx in which stones never move and the board is the complete state.

Other games have further state, such as earlier positions (Go) or passes (Othello).
"""


def check_fully_observed(game: str) -> None:
    """Raises a UserError unless the game is one of `FULLY_OBSERVED_GAMES`."""
    if game not in FULLY_OBSERVED_GAMES:
        raise UserError(
            f"the state of '{game}' cannot be rebuilt from its observation, so its rules cannot be "
            f"searched; fully observed games: {', '.join(FULLY_OBSERVED_GAMES)}"
        )


def rebuild_positions(rules: Rules, features: Array) -> GameState:
    """Returns the positions `[B]` with observations `features`.

    The player to move is player 0. No position is marked as terminated: the caller handles
    finished games.

    Args:
      rules: rules of one of `FULLY_OBSERVED_GAMES`.
      features: `[B, H, W, 2]` bool, stones of the player to move, then of the other player.
    """
    batch = features.shape[0]
    own, other = features[..., 0], features[..., 1]
    start = rules.init(jnp.zeros((batch, 2), jnp.uint32))
    cells = jnp.where(own, 0, jnp.where(other, 1, -1)).reshape(batch, -1)
    board = start._x._replace(
        board=cells.astype(start._x.board.dtype), color=jnp.zeros_like(start._x.color)
    )
    return start.replace(
        current_player=jnp.zeros_like(start.current_player),
        observation=jnp.asarray(features, bool),
        legal_action_mask=FULLY_OBSERVED_GAMES[rules.name].legal_actions(features),
        _step_count=jnp.sum(cells >= 0, axis=-1, dtype=start._step_count.dtype),
        _x=board,
    )
