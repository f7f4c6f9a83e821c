"""PPO's policy: samples of the head, and noise that persists over steps."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.agents.ppo.config import PPOConfig, PPONetworkConfig
from mukoe.networks.distributions import Categorical, Gaussian
from mukoe.types import PolicyParams
from tests.agents.ppo.test_losses import ACTIONS, make_spec

CONFIG = PPOConfig(network=PPONetworkConfig(hidden_sizes=(4,)))


def run(persistence, steps=40, envs=32, continuous=False, evaluation=False, updates=0):
    """Returns the actions `[steps, envs, ...]` at one observation, and the policy's state."""
    config = dataclasses.replace(CONFIG, noise_persistence=persistence)
    builder, spec = config.make_builder(), make_spec(continuous)
    networks = builder.make_networks(spec)
    policy = builder.make_policy(networks, spec, evaluation)
    params = PolicyParams(networks.init(jax.random.PRNGKey(0)), jnp.int32(updates))
    observation = jnp.ones((envs, 2), jnp.float32)

    def step(state, key):
        action, extras, state = policy.apply(params, key, observation, state)
        return state, (action, extras["log_prob"])

    keys = jax.random.split(jax.random.PRNGKey(1), steps)
    state, (actions, log_probs) = jax.lax.scan(step, policy.initial_state(envs), keys)
    assert np.isfinite(log_probs).all()
    return np.asarray(actions), state


@pytest.mark.parametrize("continuous", [False, True])
def test_noise_persists_less_from_the_first_to_the_last_environment(continuous):
    actions, _ = run(0.95, steps=200, continuous=continuous)
    same = actions[1:] == actions[:-1]
    repeated = same.all(-1).mean(0) if continuous else same.mean(0)
    chance = 0.0 if continuous else 1 / ACTIONS
    expected = np.linspace(0.95, 0.0, actions.shape[1])
    np.testing.assert_allclose(repeated, expected + (1 - expected) * chance, atol=0.15)
    if not continuous:
        frequencies = np.bincount(actions.ravel(), minlength=ACTIONS) / actions.size
        np.testing.assert_allclose(frequencies, 1 / ACTIONS, atol=0.06)


def test_persistence_falls_with_the_updates_of_the_learner():
    repeated = [
        (actions[1:, 0] == actions[:-1, 0]).mean()
        for actions, _ in (run(0.95, steps=300, updates=updates) for updates in (0, 50, 100, 500))
    ]
    chance = 1 / ACTIONS
    expected = [p + (1 - p) * chance for p in (0.95, 0.475, 0.0, 0.0)]
    np.testing.assert_allclose(repeated, expected, atol=0.12)


def test_first_step_of_an_episode_draws_noise():
    actions, _ = run(0.95, steps=1, envs=512)
    frequencies = np.bincount(actions[0], minlength=ACTIONS) / 512
    np.testing.assert_allclose(frequencies, 1 / ACTIONS, atol=0.08)


@pytest.mark.parametrize("persistence, evaluation", [(0.0, False), (0.95, True)])
def test_without_persistence_there_is_no_memory(persistence, evaluation):
    _, state = run(persistence, steps=2, evaluation=evaluation)
    assert not jax.tree.leaves(state)


def test_samples_are_functions_of_noise():
    key = jax.random.PRNGKey(2)
    logits = jnp.tile(jnp.log(jnp.float32([0.7, 0.2, 0.1])), (20_000, 1))
    categorical = Categorical(logits)
    actions = categorical.perturb(categorical.noise(key))
    np.testing.assert_allclose(np.bincount(actions) / 20_000, [0.7, 0.2, 0.1], atol=0.01)
    gaussian = Gaussian(jnp.float32([[1.0, -2.0]]), jnp.float32([[0.5, 3.0]]))
    np.testing.assert_array_equal(gaussian.sample(key), gaussian.perturb(gaussian.noise(key)))
