"""Streams of games as pure functions: `B` games that restart automatically.

pgx numbers the two players 0 and 1 and draws the one that moves first. Here a player is
identified by its *seat*: seat 0 moves first, seat 1 second.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import chex
import dm_env
import jax
import jax.numpy as jnp

from mukoe.environments.pgx.rules import GameState, Rules, player_rewards
from mukoe.types import Array, Nest


class Streams(NamedTuple):
    """`B` games in progress.

    game: positions `[B, ...]`.
    first_player: `[B]` int32, number in pgx of the player in seat 0.
    seat: `[B]` int32, seat of the agent; 0 in self-play, where the agent has both seats.
    length: `[B]` int32, number of agent steps so far.
    episode_return: `[B]` float32, sum of rewards so far of the player in the agent's seat.
    ended: `[B]` bool, True where the next step starts a new episode.
    opponent: pair of the opponent's state `[B, ...]` and `[B]` bool, True after its first move;
        `()` without an opponent.
    """

    game: GameState
    first_player: jax.Array
    seat: jax.Array
    length: jax.Array
    episode_return: jax.Array
    ended: jax.Array
    opponent: Nest


class GameStep(NamedTuple):
    """Arrays of a batched `dm_env.TimeStep`.

    step_type: `[B]` int32.
    reward: `[B]` float32; `[B, P]` with three and more players.
    discount: `[B]` float32.
    observation: nest `[B, ...]`, observation of the player to move.
    """

    step_type: jax.Array
    reward: jax.Array
    discount: jax.Array
    observation: Nest


@dataclasses.dataclass(frozen=True, eq=False)
class GameFunctions:
    """Environment as two pure functions, to be jitted or scanned.

    rules: rules of the game.
    num_envs: number of streams `B`.
    init: function `(key, seat=None) -> (streams, GameStep)`; `seat` `[B]` is the agent's seat in
        the first episodes of a match (None: `i % 2` in stream `i`), and is ignored in self-play.
    step: function `(streams, action [B], key) -> (streams, GameStep)`. A stream that has ended
        starts a new episode instead. Illegal actions are not detected.
    """

    rules: Rules
    num_envs: int
    init: Callable[..., tuple[Streams, GameStep]]
    step: Callable[[Streams, Array, chex.PRNGKey], tuple[Streams, GameStep]]

    @functools.cached_property
    def jitted_init(self) -> Callable:
        """Jitted `init`, compiled once per instance."""
        return jax.jit(self.init)

    @functools.cached_property
    def jitted_step(self) -> Callable:
        """Jitted `(streams, action [B], key, count)`: `step` with `fold_in(key, count)`."""

        def step(streams: Streams, action: Array, key: chex.PRNGKey, count: Array):
            return self.step(streams, action, jax.random.fold_in(key, count))

        return jax.jit(step)

    @functools.cached_property
    def jitted_move(self) -> Callable:
        """Jitted `rules.step`: a move of the player to move, without replies and restarts."""
        return jax.jit(self.rules.step)


def seat_to_move(streams: Streams) -> jax.Array:
    """Returns `[B]` int32, the seat of the player to move."""
    # In games of three and more players the number of a player is the seat.
    return streams.first_player ^ streams.game.current_player


def stream_keys(key: chex.PRNGKey, num_envs: int) -> chex.PRNGKey:
    """Returns keys `[B]`; the key of a stream does not depend on `num_envs`."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(num_envs))


def begin_games(rules: Rules, keys: chex.PRNGKey, seat: jax.Array, opponent: Nest) -> Streams:
    """Starts a game in every stream.

    Args:
      rules: rules of the game.
      keys: random keys `[B]`.
      seat: `[B]` int32, seats of the agent.
      opponent: initial value of `Streams.opponent`.
    """
    game = rules.init(keys)
    opening_moves = game._step_count if rules.players == 2 else 0
    first_player = (game.current_player + opening_moves) % rules.players
    return Streams(
        game=game,
        first_player=jnp.zeros_like(first_player) if rules.players >= 3 else first_player,
        seat=seat,
        length=jnp.zeros_like(seat),
        episode_return=jnp.zeros(seat.shape, jnp.float32),
        ended=jnp.zeros(seat.shape, bool),
        opponent=opponent,
    )


def apply_actions(rules: Rules, streams: Streams, action: Array, keys: chex.PRNGKey) -> Streams:
    """Applies `action` `[B]` for the player to move."""
    game = rules.step(streams.game, action, keys)
    reward = player_rewards(game, streams.first_player ^ streams.seat)
    return streams._replace(
        game=game,
        episode_return=streams.episode_return + reward,
        ended=game.terminated | game.truncated,
    )


def first_step(rules: Rules, streams: Streams) -> GameStep:
    """Returns the FIRST steps of new games."""
    starts = jnp.ones_like(streams.ended)
    reward = jnp.zeros((*starts.shape, *rules.spec.rewards.shape), jnp.float32)
    return make_step(rules, streams, starts, reward, 1.0)


def make_step(
    rules: Rules, streams: Streams, starts: jax.Array, reward: jax.Array, discount: Array
) -> GameStep:
    """Returns the time steps of streams.

    Args:
      rules: rules of the game.
      streams: games after the step.
      starts: `[B]` bool, True where an episode starts.
      reward: `[B]` or `[B, P]` float32, rewards of the step.
      discount: discount, one or `[B]`, between two steps of an episode. It is 0 at termination and
        1 at truncation and at the start of an episode.
    """
    step_type = jnp.where(streams.ended, int(dm_env.StepType.LAST), int(dm_env.StepType.MID))
    discounts = jnp.where(streams.game.truncated, 1.0, discount)
    discounts = jnp.where(streams.game.terminated, 0.0, discounts)
    return GameStep(
        step_type=jnp.where(starts, int(dm_env.StepType.FIRST), step_type).astype(jnp.int32),
        reward=jnp.where(jnp.expand_dims(starts, range(1, reward.ndim)), 0.0, reward),
        discount=jnp.where(starts, 1.0, discounts),
        observation=rules.observe(streams.game),
    )
