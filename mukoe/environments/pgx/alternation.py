"""Games in which a turn may be several moves, as games in which every move passes the turn.

In Backgammon a player moves once for each die. Everything else here takes for granted that the
other player is next: values change their sign with every action. So the other player waits, in
a position where the only legal action is to pass:

    to move      X        O        X        O
    action       die 1    passes   die 2    die 1 of O's own roll
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from mukoe.types import Array

PASS = 0
"""The action of the player who waits."""


@chex.dataclass(frozen=True)
class AlternatingPosition:
    """A position with the fields of a `pgx.State` that matter outside of the game.

    inner: of the game itself.
    waits: `[]` bool, whether the player to move waits for the other to finish a turn.
    """

    inner: Any
    waits: Array
    current_player: Array
    observation: Array
    rewards: Array
    terminated: Array
    truncated: Array
    legal_action_mask: Array
    _step_count: Array


class AlternatingBackgammon:
    """`pgx`'s Backgammon with waiting players; unbatched, as a `pgx.Env` is.

    The observation is pgx's `[34]`: checkers on 24 points, bar and off of both, own ones
    positive, then the dice that are left. Who waits sees what the other sees, dice negative.
    """

    def __init__(self, environment: Any):
        """Takes pgx's game."""
        self._environment = environment
        self.num_players = environment.num_players
        self.num_actions = environment.num_actions

    def init(self, key: chex.PRNGKey) -> AlternatingPosition:
        """Returns the first position."""
        return _wrap(self._environment.init(key), jnp.bool_(False), jnp.int32(0))

    def step(
        self, position: AlternatingPosition, action: Array, key: chex.PRNGKey
    ) -> AlternatingPosition:
        """Moves, or passes where the player waits."""
        before, waited = position.inner, position.waits
        moved = self._environment.step(before, action, key)
        inner = jax.tree.map(lambda old, new: jnp.where(waited, old, new), before, moved)
        goes_on = moved.current_player == before.current_player
        waits = ~waited & goes_on & ~moved.terminated
        return _wrap(inner, waits, position._step_count + 1)


def _wrap(inner: Any, waits: Array, steps: Array) -> AlternatingPosition:
    dice = jnp.arange(inner.observation.shape[-1]) >= 28
    passing = jnp.arange(inner.legal_action_mask.shape[-1]) == PASS
    return AlternatingPosition(
        inner=inner,
        waits=waits,
        current_player=jnp.where(waits, 1 - inner.current_player, inner.current_player),
        observation=jnp.where(waits & dice, -inner.observation, inner.observation),
        rewards=inner.rewards,
        terminated=inner.terminated,
        truncated=inner.truncated,
        legal_action_mask=jnp.where(waits, passing, inner.legal_action_mask),
        _step_count=steps,
    )
