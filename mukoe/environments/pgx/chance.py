"""Games of chance in two parts: the move of a player, and the law of the outcome after it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mukoe.errors import UserError
from mukoe.types import Array

_FOUR = 0.1
"""Probability that the new tile of 2048 is a 4."""


class ChanceLaw(NamedTuple):
    """The true law of a game's chance, batched over `B`.

    A step of the game is `happen(move(position, action), outcome)` with an outcome drawn from the
    law.

    num_outcomes: number of outcomes `M`.
    move: function `(positions, actions [B]) -> afterstates`, positions after the move and before
        the outcome, with the rewards of the move.
    logits: function `afterstates -> [B, M]`, log-probabilities of the outcomes; the lowest number
        of the type for impossible ones.
    happen: function `(afterstates, outcomes [B]) -> next positions`, with their observations.
    move_features: function `(features [B, H, W, C], actions [B]) -> features` of the afterstates.
    """

    num_outcomes: int
    move: Callable[[Any, Array], Any]
    logits: Callable[[Any], jax.Array]
    happen: Callable[[Any, Array], Any]
    move_features: Callable[[Array, Array], jax.Array]


def load_chance_law(game: str) -> ChanceLaw:
    """Returns the law of a game whose traits have `chance_law`.

    Raises:
      UserError: the law of the game is not known.
    """
    if game != "2048":
        raise UserError(f"the law of chance of '{game}' is not known")
    return ChanceLaw(
        num_outcomes=32,
        move=jax.vmap(_move_2048),
        logits=jax.vmap(_logits_2048),
        happen=jax.vmap(_happen_2048),
        move_features=jax.vmap(_move_features_2048),
    )


def _slide(board: jax.Array, action: Array) -> tuple[jax.Array, jax.Array]:
    """Returns the board `[4, 4]` after a move in one direction, and its reward."""
    from pgx.play2048 import _slide_and_merge

    board = jnp.stack([jnp.rot90(board, turns) for turns in range(4)])[action]
    board, rewards = jax.vmap(_slide_and_merge)(board)
    board = jnp.stack([jnp.rot90(board, -turns) for turns in range(4)])[action]
    return board, jnp.sum(rewards).astype(jnp.float32)


def _features(board: jax.Array, like: jax.Array) -> jax.Array:
    return jax.nn.one_hot(board.reshape(4, 4), like.shape[-1], dtype=like.dtype)


def _move_2048(position: Any, action: Array) -> Any:
    board, reward = _slide(position._board.reshape(4, 4), action)
    return position.replace(
        _board=board.ravel(),
        rewards=reward[None],
        observation=_features(board, position.observation),
    )


def _logits_2048(afterstate: Any) -> jax.Array:
    """Returns the log-probabilities of a 2 and of a 4 in each cell, `[16, 2]` as `[32]`."""
    free = afterstate._board == 0
    tiles = jnp.log(jnp.array([1 - _FOUR, _FOUR])) - jnp.log(jnp.sum(free))
    return jnp.where(free[:, None], tiles, jnp.finfo(tiles.dtype).min).ravel()


def _happen_2048(afterstate: Any, outcome: Array) -> Any:
    from pgx.play2048 import _legal_action_mask

    board = afterstate._board.at[outcome // 2].set(1 + outcome % 2)
    legal = _legal_action_mask(board.reshape(4, 4))
    return afterstate.replace(
        _board=board,
        legal_action_mask=legal,
        terminated=~jnp.any(legal),
        observation=_features(board, afterstate.observation),
        _step_count=afterstate._step_count + 1,
    )


def _move_features_2048(features: jax.Array, action: Array) -> jax.Array:
    board, _ = _slide(jnp.argmax(features, axis=-1).astype(jnp.int32), action)
    return _features(board, features)
