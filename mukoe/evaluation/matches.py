"""Batched games between two players, as one compiled function.

All games are at the same ply. The player begins in half of them:

    ply                          0          1          2
    games the player began       player     opponent   player
    games the opponent began     opponent   player     opponent

At every ply each side moves in one of the halves, so no evaluation of a policy is wasted.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mukoe.environments.pgx.opponents import Opponent
from mukoe.environments.pgx.rules import GameState, Rules
from mukoe.evaluation.players import Player
from mukoe.types import Array, Nest

OPENING_PLIES = 4
"""Plies whose actions `Games` holds."""


class Games(NamedTuple):
    """Games of a match, `[2, num_games]`: those that the player began, and the others.

    scores: the player's scores (1, 0, -1).
    checksums: uint32 checksums of the positions from the opening to the end.
    openings: `[2, num_games, OPENING_PLIES]` int32 first actions; -1 after the end.
    """

    scores: Array
    checksums: Array
    openings: Array


class Matches:
    """Plays games between any two players.

    The games are compiled once for each pair of `Player.make`, hence once for all checkpoints
    of a run.
    """

    def __init__(self, rules: Rules, num_games: int):
        """Makes a match.

        Args:
          rules: rules of a two-player game with strictly alternating moves.
          num_games: number of games in each seat.
        """
        self._rules = rules
        self._num_games = num_games
        self._compiled: dict[tuple[Callable, Callable], Callable] = {}

    def __call__(
        self, player: Player, opponent: Player, key: chex.PRNGKey
    ) -> tuple[np.ndarray, np.ndarray]:
        """Plays the games and returns the scores; see `play`."""
        first, second = self.play(player, opponent, key).scores
        return first, second

    def play(self, player: Player, opponent: Player, key: chex.PRNGKey) -> Games:
        """Plays the games.

        Args:
          player: first participant.
          opponent: second participant.
          key: PRNG key.
        """
        assert player.make is not None and opponent.make is not None
        makers = (player.make, opponent.make)
        if makers not in self._compiled:
            self._compiled[makers] = jax.jit(functools.partial(self._play, *makers))
        games = self._compiled[makers](player.params, opponent.params, key)
        return Games(*map(np.asarray, games))

    def _play(
        self,
        make_player: Callable[[Any], Opponent],
        make_opponent: Callable[[Any], Opponent],
        params: Any,
        opponent_params: Any,
        key: chex.PRNGKey,
    ) -> Games:
        """Plays the games; positions and memories have leading axes `[2, num_games]`."""
        sides = (make_player(params), make_opponent(opponent_params))
        init_key, key = jax.random.split(key)
        games = self._over_both(self._rules.init, jax.random.split(init_key, 2 * self._num_games))
        # Index of the player in pgx: that of the first mover, or the other one.
        number = games.current_player ^ jnp.arange(2)[:, None]
        both = 2 * self._num_games
        memories = [jax.tree.map(self._halves, side.initial_state(both)) for side in sides]

        def advance(carry: tuple) -> tuple:
            ply, games, memories, scores, checksums, openings = carry
            keys = jax.random.split(jax.random.fold_in(key, ply), 3)
            actions = jnp.zeros(number.shape, jnp.int32)
            moved: list[Nest] = []
            for index, (side, memory) in enumerate(zip(sides, memories, strict=True)):
                half = (ply + index) % 2
                action, memory = self._act(side, keys[index], games, memory, half, ply < 2)
                actions, moved = actions.at[half].set(action), [*moved, memory]
            opened = jnp.where(games.terminated | games.truncated, -1, actions)
            openings = openings.at[..., ply].set(opened, mode="drop")
            step_keys = jax.random.split(keys[2], both)
            games = self._over_both(self._rules.step, games, actions, step_keys)
            # A terminal position does not change and has no further rewards.
            rewards = jnp.take_along_axis(games.rewards, number[..., None], axis=-1)[..., 0]
            checksums = _add_positions(checksums, games)
            return ply + 1, games, moved, scores + rewards, checksums, openings

        def running(carry: tuple) -> jax.Array:
            return ~jnp.all(carry[1].terminated | carry[1].truncated)

        checksums = _add_positions(jnp.uint32(0), games)
        openings = jnp.full((*number.shape, OPENING_PLIES), -1, jnp.int32)
        carry = (0, games, memories, jnp.zeros(number.shape), checksums, openings)
        *_, scores, checksums, openings = jax.lax.while_loop(running, advance, carry)
        return Games(scores, checksums, openings)

    def _act(
        self,
        side: Opponent,
        key: chex.PRNGKey,
        games: GameState,
        memory: Nest,
        half: jax.Array,
        is_first: jax.Array,
    ) -> tuple[jax.Array, Nest]:
        """Returns actions of a side in one half; its memory of the other half is unchanged."""
        position, remembered = jax.tree.map(lambda leaf: leaf[half], (games, memory))
        action, remembered = side.act(
            key,
            position,
            self._rules.observe(position),
            remembered,
            jnp.broadcast_to(is_first, (self._num_games,)),
        )
        return action, jax.tree.map(lambda old, new: old.at[half].set(new), memory, remembered)

    def _halves(self, leaf: jax.Array) -> jax.Array:
        return leaf.reshape(2, self._num_games, *leaf.shape[1:])

    def _over_both(self, function: Callable, *arguments: Any) -> Any:
        """Applies a function of `[2 * num_games, ...]` to arrays `[2, num_games, ...]`."""

        def flat(leaf: jax.Array) -> jax.Array:
            return leaf.reshape(2 * self._num_games, *leaf.shape[2:])

        *batched, keys = arguments
        return jax.tree.map(self._halves, function(*jax.tree.map(flat, batched), keys))


def _add_positions(checksums: jax.Array, games: GameState) -> jax.Array:
    """Adds positions `[2, num_games]` to the checksums of their games."""
    board = games.observation.reshape(*games.current_player.shape, -1).astype(jnp.uint32)
    weights = jax.random.bits(jax.random.PRNGKey(0), board.shape[-1:])
    return checksums * jnp.uint32(31) + jnp.sum(board * weights, axis=-1, dtype=jnp.uint32)
