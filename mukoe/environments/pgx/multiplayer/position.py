"""Positions of games of several players, and the common part of their steps."""

import dataclasses
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from mukoe.types import Array


@chex.dataclass(frozen=True)
class PlayersPosition:
    """Position with the fields of a `pgx.State` that are used outside of pgx.

    board: `[...]` position on the board.
    current_player: `[]` int32, seat of the player to move; seat 0 moves first.
    active: `[P]` bool, False for a player who is out of the game.
    observation: `[H, W, C]` bool, the same for all players but for the planes of the player to
        move.
    rewards: `[P]` float32 of the last move.
    terminated: `[]` bool.
    truncated: `[]` bool, always False.
    legal_action_mask: `[A]` bool, True everywhere in a finished game.
    """

    board: Array
    current_player: Array
    active: Array
    observation: Array
    rewards: Array
    terminated: Array
    truncated: Array
    legal_action_mask: Array
    _step_count: Array


def seat_planes(player: Array, num_players: int, height: int, width: int) -> jax.Array:
    """Returns planes `[H, W, P]` bool, True in that of one seat."""
    seat = jnp.arange(num_players) == player
    return jnp.broadcast_to(seat, (height, width, num_players))


def step_unless_over(
    move: Callable[[PlayersPosition, Array], PlayersPosition],
    position: PlayersPosition,
    action: Array,
) -> PlayersPosition:
    """Applies a move and counts it; a finished game does not change and has no further rewards."""
    after = move(position, action)
    legal = after.legal_action_mask | after.terminated
    count = position._step_count + 1
    after = dataclasses.replace(after, legal_action_mask=legal, _step_count=count)
    before = dataclasses.replace(position, rewards=jnp.zeros_like(position.rewards))
    return jax.tree.map(lambda old, new: jnp.where(position.terminated, old, new), before, after)
