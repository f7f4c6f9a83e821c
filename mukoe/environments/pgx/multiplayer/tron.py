"""Tron for three players: a player who is walled in is out, and the last one wins.

Each player moves their head to a free neighbouring cell and leaves a wall behind. A player without
a free neighbour at their turn is out: the first one has -1, the second one 0, and the last player
1. Walls stay. The players in the game move in the order of their seats.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from mukoe.environments.pgx.multiplayer.position import (
    PlayersPosition,
    seat_planes,
    step_unless_over,
)
from mukoe.types import Array

SIZE = 7
"""Side of the board."""

STARTS = ((1, 1), (1, 5), (5, 3))
"""Cells of the heads at the start: row and column for each seat."""

_PLAYERS = 3
# Left, up, right, down, as in 2048 and MinAtar.
_MOVES = ((0, -1), (-1, 0), (0, 1), (1, 0))


@chex.dataclass(frozen=True)
class TronBoard:
    """Board of Tron.

    walls: `[H, W]` int32, 0 on free cells, and the seat plus 1 of the player who has been there.
    heads: `[P, 2]` int32, row and column of each head.
    """

    walls: Array
    heads: Array


class Tron:
    """Tron for three players; unbatched, like a `pgx.Env`.

    The observation is `[H, W, 9]` bool: planes of the walls of each player, of the heads of players
    in the game, and of the player to move. Actions are left, up, right and down.
    """

    num_players = _PLAYERS

    def __init__(self, size: int = SIZE, starts: tuple[tuple[int, int], ...] = STARTS):
        """Initialises the game.

        Args:
          size: side of the board.
          starts: row and column of each head at the start.
        """
        self._size = size
        self._starts = starts

    def init(self, key: chex.PRNGKey) -> PlayersPosition:
        """Returns the initial position."""
        del key
        heads = jnp.array(self._starts, jnp.int32)
        walls = jnp.zeros((self._size, self._size), jnp.int32)
        walls = walls.at[heads[:, 0], heads[:, 1]].set(jnp.arange(_PLAYERS) + 1)
        return _position(
            TronBoard(walls=walls, heads=heads),
            jnp.int32(0),
            active=jnp.ones(_PLAYERS, bool),
            rewards=jnp.zeros(_PLAYERS, jnp.float32),
            steps=jnp.int32(0),
        )

    def step(self, position: PlayersPosition, action: Array, key: chex.PRNGKey) -> PlayersPosition:
        """Applies a move."""
        del key
        return step_unless_over(_move, position, action)


def _move(position: PlayersPosition, action: Array) -> PlayersPosition:
    board, mover = position.board, position.current_player
    head = board.heads[mover] + jnp.array(_MOVES)[action]
    board = TronBoard(
        walls=board.walls.at[head[0], head[1]].set(mover + 1),
        heads=board.heads.at[mover].set(head),
    )
    turn, found, active = mover, jnp.bool_(False), position.active
    rewards = jnp.zeros(_PLAYERS, jnp.float32)
    # The turn passes to the next player with a free neighbour; those before them are out.
    for offset in range(1, _PLAYERS):
        seat = (mover + offset) % _PLAYERS
        asked = ~found & active[seat]
        out = asked & ~jnp.any(_free(board, seat))
        is_first = jnp.all(active)
        rewards = rewards.at[seat].add(jnp.where(out & is_first, -1.0, 0.0))
        active = active.at[seat].set(active[seat] & ~out)
        turn = jnp.where(asked & ~out, seat, turn)
        found = found | (asked & ~out)
    over = jnp.sum(active) == 1
    rewards = rewards + jnp.where(over & active, 1.0, 0.0)
    return _position(board, turn, active, rewards, position._step_count)


def _free(board: TronBoard, seat: Array) -> jax.Array:
    """Returns the free neighbours `[4]` bool of a head."""
    size = board.walls.shape[0]
    row, column = (board.heads[seat] + jnp.array(_MOVES)).T
    inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
    # Indices outside of the board are clipped to it.
    return inside & (board.walls.at[row, column].get(mode="clip") == 0)


def _position(board: TronBoard, player: Array, active: Array, rewards: Array, steps: Array) -> Any:
    seats, size = jnp.arange(_PLAYERS), board.walls.shape[0]
    walls = board.walls[..., None] == seats + 1
    heads = jnp.zeros((size, size, _PLAYERS), bool)
    heads = heads.at[board.heads[:, 0], board.heads[:, 1], seats].set(active)
    planes = seat_planes(player, _PLAYERS, size, size)
    return PlayersPosition(
        board=board,
        current_player=player,
        active=active,
        observation=jnp.concatenate([walls, heads, planes], axis=-1),
        rewards=rewards,
        terminated=jnp.sum(active) == 1,
        truncated=jnp.bool_(False),
        legal_action_mask=_free(board, player),
        _step_count=steps,
    )
