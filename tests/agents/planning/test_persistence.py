"""Repeated actions of a policy, against counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from mukoe.agents.planning.persistence import with_persistence
from mukoe.types import Policy, SplitPolicy

STEPS, ENVS, ACTIONS = 4_000, 5, 4


def uniform(spec: specs.Array) -> Policy:
    """A policy of random actions `[0, 1, 2, 3]`, whose memory counts its steps."""

    def search(params, key, root, legal):
        shape = (*root["count"].shape, *spec.shape)
        if spec.shape:
            return jax.random.uniform(key, shape), {"asked": root["count"]}
        logits = jnp.zeros((*shape, ACTIONS))
        logits = logits if legal is None else jnp.where(legal, logits, -jnp.inf)
        return jax.random.categorical(key, logits).astype(jnp.int32), {"asked": root["count"]}

    split = SplitPolicy(
        represent=lambda params, observation, state: ({"count": state}, state),
        search=search,
        update_state=lambda observation, action, state: state + 1,
        search_params=lambda params: params,
        action_spec=spec,
    )
    return Policy(
        apply=lambda params, key, observation, state: None,
        initial_state=lambda batch_size: jnp.zeros(batch_size, jnp.int32),
        extras_spec={},
        split=split,
    )


def actions_of(policy, legal=None):
    """Returns actions `[T, B]` of one episode, and the counts at the last step."""

    def step(state, key):
        root, state = policy.split.represent(None, None, state)
        action, extras = policy.split.search(None, key, root, legal)
        return policy.split.update_state(None, action, state), (action, extras["asked"])

    keys = jax.random.split(jax.random.PRNGKey(0), STEPS)
    _, (actions, asked) = jax.lax.scan(step, policy.initial_state(ENVS), keys)
    return np.asarray(actions), np.asarray(asked[-1])


@pytest.mark.parametrize("shape", [(), (2,)])
def test_actions_are_repeated_with_a_probability_that_falls_to_0(shape):
    spec = specs.Array(shape, np.float32 if shape else np.int32)
    actions, asked = actions_of(with_persistence(uniform(spec), 0.8))
    equal = (actions[1:] == actions[:-1]).reshape(STEPS - 1, ENVS, -1).all(axis=-1).mean(axis=0)
    repeated = np.linspace(0.8, 0.0, ENVS)
    # A discrete action that is drawn again equals the last one in a quarter of the steps.
    expected = repeated if shape else repeated + (1 - repeated) / ACTIONS
    np.testing.assert_allclose(equal, expected, atol=0.03)
    np.testing.assert_array_equal(asked, STEPS - 1)


def test_the_first_step_of_an_episode_repeats_nothing():
    policy = with_persistence(uniform(specs.Array((), np.int32)), 0.99)
    first = []
    for seed in range(200):
        root, _ = policy.split.represent(None, None, policy.initial_state(ENVS))
        first.append(policy.split.search(None, jax.random.PRNGKey(seed), root, None)[0])
    counts = np.bincount(np.concatenate(first), minlength=ACTIONS)
    np.testing.assert_allclose(counts / counts.sum(), 1 / ACTIONS, atol=0.05)


def test_an_illegal_action_is_not_repeated():
    policy = with_persistence(uniform(specs.Array((), np.int32)), 0.99)
    state = policy.initial_state(ENVS)
    state = policy.split.update_state(None, jnp.full(ENVS, 2, jnp.int32), state)
    legal = jnp.array([True, True, False, True] * ENVS).reshape(ENVS, ACTIONS)
    for seed in range(50):
        root, _ = policy.split.represent(None, None, state)
        action, _ = policy.split.search(None, jax.random.PRNGKey(seed), root, legal)
        assert not (action == 2).any()
