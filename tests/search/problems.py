"""Small problems with exact solutions, their search models, and searches from observations."""

import functools

import jax
import jax.numpy as jnp
import mctx
import numpy as np

from mukoe.search.base import SearchModel
from mukoe.search.config import SearchConfig
from mukoe.search.plan import plan

DISCOUNT = 0.9
HORIZON = 3
NUM_STATES = 6
NUM_ACTIONS = 3

KEY = jax.random.PRNGKey(3)
ALL_STATES = jnp.stack([jnp.arange(NUM_STATES), jnp.full(NUM_STATES, HORIZON)], axis=-1)  # [S, 2]

_RNG = np.random.default_rng(7)
NEXT_STATE = _RNG.integers(0, NUM_STATES, (NUM_STATES, NUM_ACTIONS))
REWARD = _RNG.uniform(-1, 1, (NUM_STATES, NUM_ACTIONS)).round(2)


def search_tree(config, model, params, key, observation, legal_actions, steps, evaluation=False):
    """Returns output and tree of a search from observations."""
    root = model.root(params, observation)
    return plan(config, model, params, key, root, legal_actions, steps, evaluation=evaluation)


def search_output(*args, **kwargs):
    """Returns the output alone, so that a jitted search keeps no tree."""
    return search_tree(*args, **kwargs)[0]


def jitted(model, evaluation=False, **settings):
    """Returns `(params, key, observation, legal_actions, learner_steps) -> SearchOutput`."""
    config = SearchConfig(**settings)
    return jax.jit(functools.partial(search_output, config, model, evaluation=evaluation))


def jitted_tree(model, evaluation=False, **settings):
    """Returns the same function with the tree, as `(output, tree)`."""
    config = SearchConfig(**settings)
    return jax.jit(functools.partial(search_tree, config, model, evaluation=evaluation))


def solve_mdp():
    """Value iteration: `values[h, s]` and `qvalues[h, s, a]` with `h` steps to go."""
    values = np.zeros((HORIZON + 1, NUM_STATES))
    qvalues = np.zeros((HORIZON + 1, NUM_STATES, NUM_ACTIONS))
    for to_go in range(1, HORIZON + 1):
        qvalues[to_go] = REWARD + DISCOUNT * values[to_go - 1][NEXT_STATE]
        values[to_go] = qvalues[to_go].max(axis=-1)
    return values, qvalues


def mdp_model(values=None) -> SearchModel:
    """The true MDP with uniform priors, and values `[h, s]` (all zero if not given).

    Observation and embedding are `[B, 2]` int32: the state and the steps to go.
    """
    next_state, reward = jnp.asarray(NEXT_STATE), jnp.asarray(REWARD, jnp.float32)
    values = jnp.zeros((HORIZON + 1, NUM_STATES)) if values is None else jnp.float32(values)

    def root(params, observation):
        del params
        return mctx.RootFnOutput(
            prior_logits=jnp.zeros((observation.shape[0], NUM_ACTIONS)),
            value=values[observation[:, 1], observation[:, 0]],
            embedding=observation,
        )

    def recurrent(params, key, action, embedding):
        del params, key
        state, to_go = embedding[:, 0], embedding[:, 1]
        alive = to_go > 0
        left = jnp.maximum(to_go - 1, 0)
        after = next_state[state, action]
        output = mctx.RecurrentFnOutput(
            reward=jnp.where(alive, reward[state, action], 0.0),
            discount=jnp.where(to_go > 1, DISCOUNT, 0.0),
            prior_logits=jnp.zeros((action.shape[0], NUM_ACTIONS)),
            value=values[left, after],
        )
        return output, jnp.stack([after, left], axis=-1).astype(embedding.dtype)

    return SearchModel(root, recurrent)


MAX_TAKE = 3


def solve_nim(pile):
    """Returns the value for the player to move, 1 or -1, and the winning moves (1..3 off the pile).

    Who takes the last counter wins.
    """
    value = {0: -1}
    moves = {}
    for size in range(1, pile + 1):
        moves[size] = [t for t in range(1, min(MAX_TAKE, size) + 1) if value[size - t] == -1]
        value[size] = 1 if moves[size] else -1
    return value, moves


def nim_legal(pile):
    return jnp.arange(1, MAX_TAKE + 1) <= pile[:, None]


def nim_model() -> SearchModel:
    """The true game of Nim: the turn passes with every move, so the discount is -1.

    Observation and embedding are `[B]` int32, the counters left. A move that takes too many
    loses at once, which only happens below the root.
    """

    def root(params, observation):
        del params
        return mctx.RootFnOutput(
            prior_logits=jnp.zeros((observation.shape[0], MAX_TAKE)),
            value=jnp.zeros(observation.shape[0]),
            embedding=observation,
        )

    def recurrent(params, key, action, pile):
        del params, key
        left = pile - (action + 1)
        over = pile <= 0
        reward = jnp.where(over, 0.0, jnp.where(left == 0, 1.0, jnp.where(left < 0, -1.0, 0.0)))
        output = mctx.RecurrentFnOutput(
            reward=reward,
            discount=jnp.where(left > 0, -1.0, 0.0),
            prior_logits=jnp.where(nim_legal(left), 0.0, -1e9),
            value=jnp.zeros(action.shape[0]),
        )
        return output, jnp.maximum(left, 0)

    return SearchModel(root, recurrent)


def bandit_model(logits, rewards) -> SearchModel:
    """One decision with known rewards `[A]` and prior logits `[A]`; then it is over."""
    logits, rewards = jnp.asarray(logits, jnp.float32), jnp.asarray(rewards, jnp.float32)

    def root(params, observation):
        del params
        batch_size = observation.shape[0]
        return mctx.RootFnOutput(
            prior_logits=jnp.broadcast_to(logits, (batch_size, len(logits))),
            value=jnp.full(batch_size, 0.25),
            embedding=jnp.zeros(batch_size),
        )

    def recurrent(params, key, action, embedding):
        del params, key
        return mctx.RecurrentFnOutput(
            reward=rewards[action],
            discount=jnp.zeros(action.shape[0]),
            prior_logits=jnp.zeros((action.shape[0], len(logits))),
            value=jnp.zeros(action.shape[0]),
        ), embedding

    return SearchModel(root, recurrent)


def keys(count):
    return [jax.random.PRNGKey(seed) for seed in range(count)]
