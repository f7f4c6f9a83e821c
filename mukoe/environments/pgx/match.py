"""Matches of the agent against an opponent.

Only positions with the agent to move are observed: the opponent replies within the step. Rewards
and discounts are those of a single-player environment.
"""

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
from mukoe.types import Array


def match(rules: Rules, num_envs: int, opponent: Opponent) -> GameFunctions:
    """Returns the environment in which the agent plays a two-player game against `opponent`.

    Stream `i` starts in seat `i % 2` and changes seats after each finished game. Rewards are
    the agent's. Discounts are 1 until the game is over. The final observation of a game is that
    of the player who would have moved next.
    """

    def begin(keys: chex.PRNGKey, seat: jax.Array) -> Streams:
        opponent_state = (opponent.initial_state(num_envs), jnp.zeros(num_envs, bool))
        return begin_games(rules, keys, seat, opponent_state)

    def reply(streams: Streams, replies: jax.Array, keys: chex.PRNGKey, key: chex.PRNGKey):
        state, has_moved = streams.opponent
        observation = rules.observe(streams.game)
        action, state = opponent.act(key, streams.game, observation, state, ~has_moved)
        moved = apply_actions(rules, streams, action, keys)
        moved = moved._replace(opponent=(state, jnp.ones(num_envs, bool)))
        return tree_where(replies, moved, streams)

    def init(key: chex.PRNGKey, seat: Array | None = None) -> tuple[Streams, GameStep]:
        seat = jnp.asarray(jnp.arange(num_envs) % 2 if seat is None else seat, jnp.int32)
        init_key, reply_key, act_key = jax.random.split(key, 3)
        streams = begin(stream_keys(init_key, num_envs), seat)
        streams = reply(streams, seat == 1, stream_keys(reply_key, num_envs), act_key)
        return streams, first_step(rules, streams)

    def step(streams: Streams, action: Array, key: chex.PRNGKey) -> tuple[Streams, GameStep]:
        step_key, reply_key, act_key = jax.random.split(key, 3)
        keys = stream_keys(step_key, num_envs)
        starts, score = streams.ended, streams.episode_return
        moved = apply_actions(rules, streams, action, keys)._replace(length=streams.length + 1)
        streams = tree_where(starts, begin(keys, 1 - streams.seat), moved)
        replies = jnp.where(starts, streams.seat == 1, ~streams.ended)
        streams = reply(streams, replies, stream_keys(reply_key, num_envs), act_key)
        reward = streams.episode_return - score
        return streams, make_step(rules, streams, starts, reward, 1.0)

    return GameFunctions(rules, num_envs, init, step)
