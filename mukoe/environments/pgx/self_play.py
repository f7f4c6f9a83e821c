"""Self-play: the agent makes every move of a game.

Each position is observed by the player to move, and each reward is that of the player who acted:

    time         t           t+1          t+2
    to move      X           O            X
    action       a_t         a_{t+1}      (X has lost)
    reward       r_{t+1}=0   r_{t+2}=+1   of the player who acted: X, then O
    discount     -1          0            the value for O is minus the value for X

Three and more players have vectors of rewards, with a component for each seat, and discounts of 1.

In Backgammon, where a turn has several moves, turns are made to alternate; see
`mukoe.environments.pgx.alternation`.
"""

import chex
import jax.numpy as jnp

from mukoe.environments.pgx.rules import Rules, player_rewards
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


def self_play(rules: Rules, num_envs: int) -> GameFunctions:
    """Returns the environment in which the agent makes the moves of all players.

    Reward `r_{t+1}` is that of the player who acted at `t`. The discount is -1 where the other
    player moves next, and 1 where the same player does. With three and more players the reward is
    that of every player, and the discount is 1.
    """

    def begin(keys: chex.PRNGKey) -> Streams:
        return begin_games(rules, keys, jnp.zeros(num_envs, jnp.int32), ())

    def init(key: chex.PRNGKey, seat: Array | None = None) -> tuple[Streams, GameStep]:
        del seat
        streams = begin(stream_keys(key, num_envs))
        return streams, first_step(rules, streams)

    def step(streams: Streams, action: Array, key: chex.PRNGKey) -> tuple[Streams, GameStep]:
        keys = stream_keys(key, num_envs)
        mover, starts = streams.game.current_player, streams.ended
        moved = apply_actions(rules, streams, action, keys)._replace(length=streams.length + 1)
        if rules.players >= 3:
            reward, discount = moved.game.rewards, jnp.float32(1.0)
        else:
            reward = player_rewards(moved.game, mover)
            discount = jnp.where(moved.game.current_player == mover, 1.0, -1.0)
        streams = tree_where(starts, begin(keys), moved)
        return streams, make_step(rules, streams, starts, reward, discount)

    return GameFunctions(rules, num_envs, init, step)
