"""Nim for three players, small enough to be solved.

The player to move takes any number of counters from one heap. The player who takes the last
counter has 1, the player behind them, who cannot move, -1, and the third player 0. Each player
prefers the three outcomes in a strict order, so that the values of max^n are unique.
"""

from typing import Any

import chex
import jax.numpy as jnp

from mukoe.environments.pgx.multiplayer.position import (
    PlayersPosition,
    seat_planes,
    step_unless_over,
)
from mukoe.types import Array

HEAPS = (3, 4, 5)
"""Counters of each heap at the start."""

_PLAYERS = 3


class Nim:
    """Nim for three players; unbatched, like a `pgx.Env`.

    The observation is `[H, W, 4]` bool with a row for each heap: the counters, and planes of the
    player to move. Action `W h + n - 1` takes `n` counters from heap `h`.
    """

    num_players = _PLAYERS

    def init(self, key: chex.PRNGKey) -> PlayersPosition:
        """Returns the initial position."""
        del key
        return _position(
            jnp.array(HEAPS, jnp.int32),
            jnp.int32(0),
            rewards=jnp.zeros(_PLAYERS, jnp.float32),
            steps=jnp.int32(0),
        )

    def step(self, position: PlayersPosition, action: Array, key: chex.PRNGKey) -> PlayersPosition:
        """Applies a move."""
        del key
        return step_unless_over(_move, position, action)


def _move(position: PlayersPosition, action: Array) -> PlayersPosition:
    heap, taken = jnp.divmod(action, max(HEAPS))
    board = jnp.maximum(position.board.at[heap].add(-taken - 1), 0)
    mover, seats = position.current_player, jnp.arange(_PLAYERS)
    following = (mover + 1) % _PLAYERS
    outcome = (seats == mover).astype(jnp.float32) - (seats == following)
    rewards = jnp.where(jnp.any(board > 0), 0.0, outcome)
    return _position(board, following, rewards, position._step_count)


def _position(heaps: Array, player: Array, rewards: Array, steps: Array) -> Any:
    counters = jnp.arange(max(HEAPS)) < heaps[:, None]
    planes = seat_planes(player, _PLAYERS, *counters.shape)
    return PlayersPosition(
        board=heaps,
        current_player=player,
        active=jnp.ones(_PLAYERS, bool),
        observation=jnp.concatenate([counters[..., None], planes], axis=-1),
        rewards=rewards,
        terminated=~jnp.any(heaps > 0),
        truncated=jnp.bool_(False),
        legal_action_mask=counters.ravel(),
        _step_count=steps,
    )
