"""Opponents to evaluate against: random, perfect, and a tree search on the true rules."""

import functools

import chex
import jax
import jax.numpy as jnp
import mctx

from mukoe.environments.pgx.exact_solver import board_index, solve_tic_tac_toe
from mukoe.environments.pgx.games import PGX_GAMES, GameState, Opponent, Rules, load_rules
from mukoe.errors import UserError
from mukoe.types import Array, MaskedObservation, Nest

OPPONENTS = ("random", "exact", "rollout")
"""`random`: uniform over the legal moves. `exact`: perfect play. `rollout`: tree search."""

MOST_ROLLOUTS = 100_000
"""Simulations per move of `rollout`; as many random games of a board take minutes."""

SOLVED_GAMES = ("tic_tac_toe",)
"""Games that `exact` plays."""


def check_opponent(name: str, game: str, simulations: int) -> None:
    """Raises a UserError unless there is such an opponent for the game."""
    if name not in OPPONENTS:
        raise UserError(f"unknown opponent '{name}'; known are {', '.join(OPPONENTS)}")
    if PGX_GAMES[game].players != 2:
        raise UserError(f"'{game}' has one player, so it needs no opponent")
    if name == "exact" and game not in SOLVED_GAMES:
        raise UserError(
            f"opponent 'exact' plays {', '.join(SOLVED_GAMES)} only, not '{game}'; "
            "'rollout' plays every game"
        )
    if name == "rollout" and not 1 <= simulations <= MOST_ROLLOUTS:
        raise UserError(
            f"opponent 'rollout' needs from 1 to {MOST_ROLLOUTS} simulations, not {simulations}"
        )


@functools.cache
def make_opponent(name: str, game: str, simulations: int) -> Opponent:
    """Returns an opponent.

    Args:
      name: one of `OPPONENTS`.
      game: a two-player game of `PGX_GAMES`.
      simulations: simulations per move of 'rollout'; the others do not look at it.

    Raises:
      UserError: there is no such opponent for the game.
    """
    check_opponent(name, game, simulations)
    if name == "random":
        return random_opponent()
    if name == "exact":
        return exact_opponent()
    return rollout_opponent(load_rules(game, max_steps=None), simulations)


def random_opponent() -> Opponent:
    """Uniform over the legal moves."""

    def act(
        key: chex.PRNGKey, game: GameState, observation: MaskedObservation, memory: Nest, is_first
    ) -> tuple[jax.Array, Nest]:
        del game, is_first
        return _random_action(key, observation.legal_actions), memory

    return Opponent(_no_memory, act)


def exact_opponent() -> Opponent:
    """Perfect tic-tac-toe; uniform over the moves that keep the value of the position."""
    best_actions = solve_tic_tac_toe().best_actions

    def act(
        key: chex.PRNGKey, game: GameState, observation: MaskedObservation, memory: Nest, is_first
    ) -> tuple[jax.Array, Nest]:
        del game, is_first
        cells = observation.features.reshape(-1, 9, 2).astype(jnp.int32)
        index = board_index(cells[..., 0], cells[..., 1])
        return _random_action(key, jnp.asarray(best_actions)[index]), memory

    return Opponent(_no_memory, act)


def rollout_opponent(rules: Rules, simulations: int) -> Opponent:
    """MCTS on the true rules, a position being worth what one random game from there gives.

    The search is that of AlphaZero (arXiv:1712.01815) with a uniform prior and without noise;
    the most visited move is played, ties broken at random.

    Args:
      rules: of a two-player game.
      simulations: per move.
    """

    def expand(
        params: Nest, key: chex.PRNGKey, action: jax.Array, game: GameState
    ) -> tuple[mctx.RecurrentFnOutput, GameState]:
        del params
        mover = game.current_player[:, None]
        step_key, playout_key = jax.random.split(key)
        game = rules.step(game, action, jax.random.split(step_key, action.shape[0]))
        over = game.terminated | game.truncated
        output = mctx.RecurrentFnOutput(
            reward=jnp.take_along_axis(game.rewards, mover, axis=1)[:, 0],
            discount=jnp.where(over, 0.0, -1.0),
            prior_logits=_uniform_logits(game.legal_action_mask),
            value=random_playout(rules, game, playout_key),
        )
        return output, game

    def act(
        key: chex.PRNGKey, game: GameState, observation: MaskedObservation, memory: Nest, is_first
    ) -> tuple[jax.Array, Nest]:
        del is_first
        root_key, search_key = jax.random.split(key)
        root = mctx.RootFnOutput(
            prior_logits=_uniform_logits(observation.legal_actions),
            value=random_playout(rules, game, root_key),
            embedding=game,
        )
        output = mctx.muzero_policy(
            params=(),
            rng_key=search_key,
            root=root,
            recurrent_fn=expand,  # type: ignore[arg-type]
            num_simulations=simulations,
            invalid_actions=~observation.legal_actions,
            qtransform=_scaled_values,
            dirichlet_fraction=0.0,
            temperature=0.0,
        )
        return jnp.asarray(output.action, jnp.int32), memory

    return Opponent(_no_memory, act)


def random_playout(rules: Rules, game: GameState, key: chex.PRNGKey) -> jax.Array:
    """Plays random legal moves to the end.

    Returns:
      `[B]` float32, the sum of the rewards of the player to move in `game`; 0 where the game
      is over already.
    """
    player = game.current_player[:, None]

    def running(carry: tuple) -> jax.Array:
        game, _, _ = carry
        return ~jnp.all(game.terminated | game.truncated)

    def move(carry: tuple) -> tuple:
        game, total, key = carry
        key, action_key, step_key = jax.random.split(key, 3)
        action = _random_action(action_key, game.legal_action_mask)
        # A position where the game is over stays as it is and gives no more rewards.
        game = rules.step(game, action, jax.random.split(step_key, action.shape[0]))
        return game, total + jnp.take_along_axis(game.rewards, player, axis=1)[:, 0], key

    total = jnp.zeros(player.shape[0], jnp.float32)
    return jax.lax.while_loop(running, move, (game, total, key))[1]


def _scaled_values(tree: mctx.Tree, node_index: Array) -> jax.Array:
    """Returns `[A]` values from [-1, 1] as [0, 1]; the node's own where nothing was tried.

    Playouts are noisy: scaled by the least and greatest of few of them, as for learned values
    on an unknown scale, the first loss would rule a move out.
    """
    visited = jnp.asarray(tree.children_visits)[node_index] > 0
    own_value = jnp.asarray(tree.node_values)[node_index]
    return (jnp.where(visited, tree.qvalues(node_index), own_value) + 1) / 2


def _no_memory(batch_size: int) -> tuple[()]:
    del batch_size
    return ()


def _uniform_logits(legal_actions: Array) -> jax.Array:
    return jnp.where(legal_actions, 0.0, jnp.finfo(jnp.float32).min)


def _random_action(key: chex.PRNGKey, candidates: Array) -> jax.Array:
    """Returns `[B]` int32, uniform over the True of `candidates` `[B, A]`; 0 without any."""
    noise = jax.random.uniform(key, candidates.shape)
    return jnp.argmax(jnp.where(candidates, noise, -1.0), axis=-1).astype(jnp.int32)
