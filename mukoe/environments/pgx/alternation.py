"""Backgammon with strictly alternating turns.

In Backgammon a turn has one move per die. mukoe assumes that turns alternate, because values
change their sign with every action. Hence the other player passes between the moves of a turn,
in a position where the only legal action is `PASS`:

    to move      X        O        X        O
    action       die 1    passes   die 2    die 1 of O's own roll
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from mukoe.types import Array

PASS = 0
"""The only legal action of the waiting player."""


@chex.dataclass(frozen=True)
class AlternatingPosition:
    """Position with the fields of a `pgx.State` that are used outside of pgx.

    inner: `pgx.State` of Backgammon.
    waits: `[]` bool, True if the player to move waits for the other player to finish a turn.
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
    """Backgammon of pgx with passing players; unbatched, like a `pgx.Env`.

    The observation is that of pgx, `[34]`: checkers on 24 points, bar and off of both players, own
    ones positive, then the remaining dice. The waiting player has the observation of the other
    player, with negated dice.
    """

    def __init__(self, environment: Any):
        """Wraps Backgammon of pgx."""
        self._environment = environment
        self.num_players = environment.num_players

    def init(self, key: chex.PRNGKey) -> AlternatingPosition:
        """Returns the initial position."""
        return _wrap(self._environment.init(key), jnp.bool_(False), jnp.int32(0))

    def step(
        self, position: AlternatingPosition, action: Array, key: chex.PRNGKey
    ) -> AlternatingPosition:
        """Applies a move, or passes where the player to move waits."""
        before, waited = position.inner, position.waits
        moved = self._environment.step(before, action, key)
        inner = jax.tree.map(lambda old, new: jnp.where(waited, old, new), before, moved)
        same_player = moved.current_player == before.current_player
        waits = ~waited & same_player & ~moved.terminated
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
