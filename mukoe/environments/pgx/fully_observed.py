"""Games whose observation shows the whole position, so that a search can play on from it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mukoe.environments.pgx.games import GameState, Rules
from mukoe.errors import UserError
from mukoe.types import Array


class ShownGame(NamedTuple):
    """What the rules of pgx do not say of a game for two.

    longest: moves of the longest game, both players' together.
    legal_actions: features `[B, ...]` to the legal moves `[B, A]` bool.
    mirrored_actions: `[A]`, by action the one that is the same in a mirror, in which the
        second of the axes `[B, H, W, C]` of the features is turned around. The mirrored game is
        the same game.
    """

    longest: int
    legal_actions: Callable[[Array], jax.Array]
    mirrored_actions: tuple[int, ...]


def _is_empty(features: Array) -> jax.Array:
    """Cells `[B, H, W]` bool without a stone."""
    return ~jnp.any(features, axis=-1)


SHOWN_GAMES: Mapping[str, ShownGame] = {
    "tic_tac_toe": ShownGame(
        longest=9,
        legal_actions=lambda features: _is_empty(features).reshape(features.shape[0], 9),
        mirrored_actions=(2, 1, 0, 5, 4, 3, 8, 7, 6),
    ),
    "connect_four": ShownGame(
        longest=42,
        legal_actions=lambda features: _is_empty(features)[:, 0],
        mirrored_actions=(6, 5, 4, 3, 2, 1, 0),
    ),
}
"""Games of pgx in which a stone stays where it is put, and nothing else is remembered.

In others it takes more than the board: the positions before (Go), or who passed (Othello).
"""


def check_shown(game: str) -> None:
    """Raises a UserError unless the game is one of `SHOWN_GAMES`."""
    if game not in SHOWN_GAMES:
        raise UserError(
            f"the rules of '{game}' cannot be searched from what is seen of it; "
            f"games where that is enough: {', '.join(SHOWN_GAMES)}"
        )


def shown_position(rules: Rules, features: Array) -> GameState:
    """Returns the positions `[B]` that are seen as `features` `[B, H, W, 2]` bool.

    The player to move is player 0. None of them counts as over: who asks knows that.

    Args:
      rules: of one of `SHOWN_GAMES`.
      features: stones of the player to move, then those of the other.
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
        legal_action_mask=SHOWN_GAMES[rules.name].legal_actions(features),
        _step_count=jnp.sum(cells >= 0, axis=-1, dtype=start._step_count.dtype),
        _x=board,
    )
