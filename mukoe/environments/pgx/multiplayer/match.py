"""Matches of the agent against several players with the policy of one opponent."""

import chex
import jax
import jax.numpy as jnp

from mukoe.environments.pgx.opponents import Opponent
from mukoe.environments.pgx.rules import Rules
from mukoe.environments.pgx.streams import (
    GameFunctions,
    GameStep,
    Streams,
    apply_actions,
    begin_games,
    first_step,
    make_step,
    stream_keys,
)
from mukoe.nests import tree_where
from mukoe.types import Array, Nest


def match_of_several(rules: Rules, num_envs: int, opponent: Opponent) -> GameFunctions:
    """Returns the environment in which the agent plays against `P - 1` times `opponent`.

    Stream `i` starts in seat `i % P` and takes the next one after each finished game. A game is
    over for the agent when it is out, also where others play on. The first component of a reward is
    the agent's, the others are those of the players behind it.
    """
    entries = jnp.arange(num_envs)

    def begin(keys: chex.PRNGKey, seat: jax.Array) -> Streams:
        state = opponent.initial_state(num_envs)
        of_seats = jax.tree.map(lambda leaf: jnp.repeat(leaf[:, None], rules.players, 1), state)
        has_moved = jnp.zeros((num_envs, rules.players), bool)
        return begin_games(rules, keys, seat, (of_seats, has_moved))

    def move(streams: Streams, action: Array, keys: chex.PRNGKey) -> Streams:
        moved = apply_actions(rules, streams, action, keys)
        return moved._replace(ended=moved.ended | ~moved.game.active[entries, moved.seat])

    def others_to_move(streams: Streams) -> jax.Array:
        return ~streams.ended & (streams.game.current_player != streams.seat)

    def reply(
        carry: tuple[Streams, jax.Array, chex.PRNGKey],
    ) -> tuple[Streams, jax.Array, chex.PRNGKey]:
        streams, reward, key = carry
        key, step_key, act_key = jax.random.split(key, 3)
        (of_seats, has_moved), seat = streams.opponent, streams.game.current_player
        state: Nest = jax.tree.map(lambda leaf: leaf[entries, seat], of_seats)
        observation, is_first = rules.observe(streams.game), ~has_moved[entries, seat]
        action, state = opponent.act(act_key, streams.game, observation, state, is_first)
        of_seats = jax.tree.map(lambda all, own: all.at[entries, seat].set(own), of_seats, state)
        has_moved = has_moved.at[entries, seat].set(True)
        moved = move(streams, action, stream_keys(step_key, num_envs))
        moved = moved._replace(opponent=(of_seats, has_moved))
        replies = others_to_move(streams)
        reward = reward + jnp.where(replies[:, None], moved.game.rewards, 0.0)
        return tree_where(replies, moved, streams), reward, key

    def to_agents_move(
        streams: Streams, reward: jax.Array, key: chex.PRNGKey
    ) -> tuple[Streams, jax.Array]:
        streams, reward, _ = jax.lax.while_loop(
            lambda carry: jnp.any(others_to_move(carry[0])), reply, (streams, reward, key)
        )
        order = (streams.seat[:, None] + jnp.arange(rules.players)) % rules.players
        return streams, jnp.take_along_axis(reward, order, axis=1)

    def init(key: chex.PRNGKey, seat: Array | None = None) -> tuple[Streams, GameStep]:
        seat = jnp.asarray(entries % rules.players if seat is None else seat, jnp.int32)
        init_key, reply_key = jax.random.split(key)
        streams = begin(stream_keys(init_key, num_envs), seat)
        nothing = jnp.zeros((num_envs, rules.players), jnp.float32)
        streams, _ = to_agents_move(streams, nothing, reply_key)
        return streams, first_step(rules, streams)

    def step(streams: Streams, action: Array, key: chex.PRNGKey) -> tuple[Streams, GameStep]:
        step_key, reply_key = jax.random.split(key)
        keys, starts = stream_keys(step_key, num_envs), streams.ended
        moved = move(streams, action, keys)._replace(length=streams.length + 1)
        reward = jnp.where(starts[:, None], 0.0, moved.game.rewards)
        again = begin(keys, (streams.seat + 1) % rules.players)
        streams, reward = to_agents_move(tree_where(starts, again, moved), reward, reply_key)
        discount = jnp.where(streams.ended, 0.0, 1.0)
        return streams, make_step(rules, streams, starts, reward, discount)

    return GameFunctions(rules, num_envs, init, step)
