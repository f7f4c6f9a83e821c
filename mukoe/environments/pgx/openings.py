"""Random openings of two-player games."""

import dataclasses

import chex
import jax
import jax.numpy as jnp

from mukoe.environments.pgx.rules import GameState, Rules
from mukoe.nests import tree_where


def with_random_opening(rules: Rules, max_moves: int, min_moves: int = 0) -> Rules:
    """Returns the rules of a game with initial positions after a random opening.

    The number of moves is uniform in `min_moves..max_moves`. Each move is uniform over the legal
    moves, and a move that would end the game is skipped. An opening that has fewer than
    `min_moves` moves because of skipped ones is taken back: that game starts from the initial
    position, so that the player to move does not change.

    Args:
      rules: rules of a two-player game.
      max_moves: maximum number of moves, of both players together.
      min_moves: minimum number of moves, of both players together.
    """

    def random_move(position: GameState, keys: chex.PRNGKey) -> GameState:
        logits = jnp.where(position.legal_action_mask, 0.0, -jnp.inf)
        after = rules.step(position, jax.vmap(jax.random.categorical)(keys, logits), keys)
        return tree_where(after.terminated | after.truncated, position, after)

    def init(keys: chex.PRNGKey) -> GameState:
        start = rules.init(keys)
        count_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, max_moves)
        counts = jax.vmap(lambda key: jax.random.randint(key, (), min_moves, max_moves + 1))(
            count_keys
        )

        def move(index: int, position: GameState) -> GameState:
            move_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, index)
            return tree_where(index < counts, random_move(position, move_keys), position)

        position = jax.lax.fori_loop(0, max_moves, move, start)
        too_short = position._step_count - start._step_count < min_moves
        return tree_where(too_short, start, position)

    return dataclasses.replace(rules, init=init)
