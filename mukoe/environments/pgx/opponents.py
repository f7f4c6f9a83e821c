"""Fixed opponents for evaluation: random play, perfect play, and tree search with the rules."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import mctx
import numpy as np

from mukoe.environments.pgx.exact_solver import board_index, solve_tic_tac_toe
from mukoe.environments.pgx.games import PGX_GAMES
from mukoe.environments.pgx.multiplayer.nim_solver import solve_nim
from mukoe.environments.pgx.rules import GameState, Rules, load_rules, player_rewards
from mukoe.errors import UserError
from mukoe.types import Array, MaskedObservation, Nest


class Opponent(NamedTuple):
    """Policy of an opponent as pure, jittable functions.

    initial_state: function `B -> state [B, ...]` at the start of a game; `()` for a stateless
        policy.
    act: function `(key, game, observation, state, is_first [B] bool) -> (action [B] int32,
        state)`, where `game` is the batched pgx state and `observation` the `MaskedObservation`,
        both `[B, ...]`. Where `is_first`, the state belongs to an earlier game and must be reset.
        Actions in finished games are ignored.
    act_with_value: function like `act` to `(action, search value [B] of the player to move,
        state)`; None for a policy without a search.
    """

    initial_state: Callable[[int], Nest]
    act: Callable[[chex.PRNGKey, GameState, MaskedObservation, Nest, Array], tuple[jax.Array, Nest]]
    act_with_value: Callable[..., tuple[jax.Array, jax.Array, Nest]] | None = None


OPPONENTS = ("random", "exact", "rollout")
"""Names: `random` is uniform over the legal moves, `exact` perfect play, `rollout` tree search."""

MAX_ROLLOUTS = 100_000
"""Upper bound of the simulations per move of `rollout`, which take minutes."""

SOLVED_GAMES = ("tic_tac_toe", "nim_3p")
"""Games with an `exact` opponent."""


def check_opponent(name: str, game: str, simulations: int) -> None:
    """Raises a UserError unless the game has this opponent."""
    if name not in OPPONENTS:
        raise UserError(f"unknown opponent '{name}'; known are {', '.join(OPPONENTS)}")
    if PGX_GAMES[game].players == 1:
        raise UserError(f"'{game}' has one player, so it needs no opponent")
    if name == "exact" and game not in SOLVED_GAMES:
        raise UserError(
            f"opponent 'exact' plays {', '.join(SOLVED_GAMES)} only, not '{game}'; "
            "'rollout' plays every game of two players"
        )
    if name == "rollout" and PGX_GAMES[game].players >= 3:
        raise UserError(
            f"opponent 'rollout' plays games of two players, not '{game}'; 'random' plays it"
        )
    if name == "rollout" and not 1 <= simulations <= MAX_ROLLOUTS:
        raise UserError(
            f"opponent 'rollout' needs from 1 to {MAX_ROLLOUTS} simulations, not {simulations}"
        )


@functools.cache
def make_opponent(name: str, game: str, simulations: int) -> Opponent:
    """Returns a fixed opponent.

    Args:
      name: one of `OPPONENTS`.
      game: a game of `PGX_GAMES` with two players or more.
      simulations: simulations per move of 'rollout'; ignored by the others.

    Raises:
      UserError: the game does not have this opponent.
    """
    check_opponent(name, game, simulations)
    if name == "random":
        return random_opponent()
    if name == "exact":
        return exact_opponent() if game == "tic_tac_toe" else exact_nim_opponent()
    return rollout_opponent(load_rules(game, max_steps=None), simulations)


def random_opponent() -> Opponent:
    """Returns an opponent that is uniform over the legal moves."""

    def act(
        key: chex.PRNGKey, game: GameState, observation: MaskedObservation, state: Nest, is_first
    ) -> tuple[jax.Array, Nest]:
        del game, is_first
        return _random_action(key, observation.legal_actions), state

    return Opponent(_stateless, act)


def exact_opponent() -> Opponent:
    """Returns perfect tic-tac-toe play, uniform over the moves that keep the position's value."""

    def index_of(game: GameState, observation: MaskedObservation) -> Array:
        del game
        cells = observation.features.reshape(-1, 9, 2).astype(jnp.int32)
        return board_index(cells[..., 0], cells[..., 1])

    return _solved_opponent(solve_tic_tac_toe().best_actions, index_of)


def exact_nim_opponent() -> Opponent:
    """Returns perfect Nim for three players, uniform over the moves that keep the own value."""

    def index_of(game: GameState, observation: MaskedObservation) -> tuple[Array, ...]:
        del observation
        return tuple(game.board[:, heap] for heap in range(game.board.shape[1]))

    return _solved_opponent(solve_nim().best_actions, index_of)


def _solved_opponent(
    best_actions: np.ndarray,
    index_of: Callable[[GameState, MaskedObservation], Array | tuple[Array, ...]],
) -> Opponent:
    """Returns perfect play, uniform over the best actions.

    Args:
      best_actions: `[..., A]` bool, best actions of all positions.
      index_of: function from positions and observations to their indices in `best_actions`.
    """

    def act(
        key: chex.PRNGKey, game: GameState, observation: MaskedObservation, state: Nest, is_first
    ) -> tuple[jax.Array, Nest]:
        del is_first
        index = index_of(game, observation)
        return _random_action(key, jnp.asarray(best_actions)[index]), state

    return Opponent(_stateless, act)


def rollout_opponent(rules: Rules, simulations: int) -> Opponent:
    """Returns MCTS with the rules of the game, in which a random playout evaluates a position.

    The search is that of AlphaZero (arXiv:1712.01815) with a uniform prior and without noise. It
    plays the most visited move, with ties broken at random.

    Args:
      rules: rules of a two-player game.
      simulations: simulations per move.
    """

    def expand(
        params: Nest, key: chex.PRNGKey, action: jax.Array, game: GameState
    ) -> tuple[mctx.RecurrentFnOutput, GameState]:
        del params
        mover = game.current_player
        step_key, playout_key = jax.random.split(key)
        game = rules.step(game, action, jax.random.split(step_key, action.shape[0]))
        over = game.terminated | game.truncated
        output = mctx.RecurrentFnOutput(
            reward=player_rewards(game, mover),
            discount=jnp.where(over, 0.0, -1.0),
            prior_logits=_uniform_logits(game.legal_action_mask),
            value=random_playout(rules, game, playout_key),
        )
        return output, game

    def act(
        key: chex.PRNGKey, game: GameState, observation: MaskedObservation, state: Nest, is_first
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
        return jnp.asarray(output.action, jnp.int32), state

    return Opponent(_stateless, act)


def random_playout(rules: Rules, game: GameState, key: chex.PRNGKey) -> jax.Array:
    """Plays random legal moves to the end of the game.

    Returns:
      `[B]` float32, the sum of the rewards of the player to move in `game`; 0 in finished games.
    """
    player = game.current_player

    def running(carry: tuple) -> jax.Array:
        game, _, _ = carry
        return ~jnp.all(game.terminated | game.truncated)

    def move(carry: tuple) -> tuple:
        game, total, key = carry
        key, action_key, step_key = jax.random.split(key, 3)
        action = _random_action(action_key, game.legal_action_mask)
        # A step in a finished game has no effect and reward 0.
        game = rules.step(game, action, jax.random.split(step_key, action.shape[0]))
        return game, total + player_rewards(game, player), key

    total = jnp.zeros(player.shape[0], jnp.float32)
    return jax.lax.while_loop(running, move, (game, total, key))[1]


def _scaled_values(tree: mctx.Tree, node_index: Array) -> jax.Array:
    """Returns Q-values `[A]` rescaled from [-1, 1] to [0, 1]; the node's value if unvisited.

    The fixed scale matters because playouts are noisy: with the minimum and maximum of a few
    playouts, as for learned values of unknown scale, one loss would exclude a move.
    """
    visited = jnp.asarray(tree.children_visits)[node_index] > 0
    own_value = jnp.asarray(tree.node_values)[node_index]
    return (jnp.where(visited, tree.qvalues(node_index), own_value) + 1) / 2


def _stateless(batch_size: int) -> tuple[()]:
    del batch_size
    return ()


def _uniform_logits(legal_actions: Array) -> jax.Array:
    return jnp.where(legal_actions, 0.0, jnp.finfo(jnp.float32).min)


def _random_action(key: chex.PRNGKey, candidates: Array) -> jax.Array:
    """Samples `[B]` int32 uniformly from `candidates` `[B, A]` bool; 0 in rows without any."""
    noise = jax.random.uniform(key, candidates.shape)
    return jnp.argmax(jnp.where(candidates, noise, -1.0), axis=-1).astype(jnp.int32)
