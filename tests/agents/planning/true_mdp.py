"""A corridor, and the model of a search that is the corridor itself.

Cells 0 to 4, actions left and right. The episode ends in cell 0 with reward 0.3, in cell 4 with
reward 1, and is truncated after 7 steps. In cell 1 only the right is legal if `masked`.
"""

import dm_env
import jax.numpy as jnp
import mctx
import numpy as np
from dm_env import specs

from mukoe.environments.sync_vector import SyncVectorEnvironment
from mukoe.search.base import SearchModel
from mukoe.types import MaskedObservation

DISCOUNT, CELLS, LIMIT = 0.9, 5, 7


class Corridor(dm_env.Environment):
    def __init__(self, seed, masked=False):
        self._random, self._masked = np.random.default_rng(seed), masked

    def reset(self):
        self._cell, self._steps = int(self._random.integers(1, CELLS - 1)), 0
        return dm_env.restart(self._observe())

    def step(self, action):
        self._cell += 2 * int(action) - 1
        self._steps += 1
        if self._cell in (0, CELLS - 1):
            return dm_env.termination(0.3 if self._cell == 0 else 1.0, self._observe())
        if self._steps == LIMIT:
            return dm_env.truncation(0.0, self._observe(), 1.0)
        return dm_env.transition(0.0, self._observe(), 1.0)

    def _observe(self):
        cell = np.float32([self._cell])
        if not self._masked:
            return cell
        return MaskedObservation(cell, np.array([self._cell != 1, True]))

    def observation_spec(self):
        cell = specs.Array((1,), np.float32)
        return MaskedObservation(cell, specs.Array((2,), bool)) if self._masked else cell

    def action_spec(self):
        return specs.DiscreteArray(2)


def corridors(seed, num_envs, masked=False):
    return SyncVectorEnvironment([Corridor(seed + i, masked) for i in range(num_envs)])


def true_model():
    """Model whose parameters are the network: values `[CELLS]` and logits `[CELLS, 2]`.

    The root reads the newest frame; the value there depends slightly on all frames of a history,
    so that a wrong history is seen.
    """

    def predict(params, cell):
        index = cell.astype(jnp.int32)
        return params["logits"][index], params["values"][index]

    def root(params, frames):
        cell = frames[:, -1]
        logits, value = predict(params, cell)
        past = frames[:, :-1] @ (0.1 * jnp.arange(1, frames.shape[1])) * params["past"]
        return mctx.RootFnOutput(prior_logits=logits, value=value + past, embedding=cell)

    def recurrent(params, key, action, cell):
        del key
        after = cell + 2 * action - 1
        ended = (after == 0) | (after == CELLS - 1)
        logits, value = predict(params, after)
        output = mctx.RecurrentFnOutput(
            reward=jnp.where(after == 0, 0.3, jnp.where(after == CELLS - 1, 1.0, 0.0)),
            discount=jnp.where(ended, 0.0, DISCOUNT),
            prior_logits=logits,
            value=jnp.where(ended, 0.0, value),
        )
        return output, after

    return SearchModel(root, recurrent)


def optimal():
    """Optimal values `[CELLS]` and action values `[CELLS, 2]`, by value iteration."""
    values = np.zeros(CELLS)
    for _ in range(100):
        q = np.zeros((CELLS, 2))
        for cell in range(1, CELLS - 1):
            for action in range(2):
                after = cell + 2 * action - 1
                reward = {0: 0.3, CELLS - 1: 1.0}.get(after, 0.0)
                q[cell, action] = reward + DISCOUNT * values[after] * (0 < after < CELLS - 1)
        values = q.max(axis=1)
    return values, q
