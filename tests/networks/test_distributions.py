"""Policies against SciPy, and against their definitions in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from mukoe.errors import UserError
from mukoe.networks.distributions import (
    Categorical,
    Gaussian,
    GaussianConfig,
    categorical_policy,
    gaussian_policy,
)

RNG = np.random.default_rng(0)
MEAN = RNG.normal(size=(4, 3)).astype(np.float32)
STD = RNG.uniform(0.05, 2.0, (4, 3)).astype(np.float32)


def test_gaussian_density_and_entropy_are_scipys():
    policy, action = Gaussian(MEAN, STD), RNG.normal(size=(4, 3)).astype(np.float32)
    expected = [
        scipy.stats.multivariate_normal(m, np.diag(s.astype(float) ** 2))
        for m, s in zip(MEAN, STD, strict=True)
    ]
    log_probs = [normal.logpdf(a) for normal, a in zip(expected, action, strict=True)]
    np.testing.assert_allclose(policy.log_prob(action), log_probs, rtol=1e-4)
    np.testing.assert_allclose(policy.entropy(), [n.entropy() for n in expected], rtol=1e-5)


def test_gaussian_draws_follow_their_distribution():
    policy = Gaussian(jnp.tile(MEAN[0], (20_000, 1)), jnp.tile(STD[0], (20_000, 1)))
    draws = np.asarray(policy.sample(jax.random.PRNGKey(0)))
    for d in range(3):
        normal = scipy.stats.norm(MEAN[0, d], STD[0, d])
        assert scipy.stats.kstest(draws[:, d], normal.cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef(draws.T) - np.eye(3)).max() < 0.03
    np.testing.assert_array_equal(policy.mode(), policy.mean)


def test_gaussian_head_in_numbers():
    config = GaussianConfig(initial_std=0.6, minimum_std=0.1)
    policy = gaussian_policy(np.array([0.0, 1.0, 0.0, 2.0]), config)
    softplus = np.log(1 + np.exp(2.0)) / np.log(2.0)
    np.testing.assert_allclose(policy.mean, [0.0, np.tanh(1.0)], rtol=1e-6)
    np.testing.assert_allclose(policy.std, [0.6, 0.1 + 0.5 * softplus], rtol=1e-6)
    extreme = gaussian_policy(np.array([80.0, -80.0]), config)
    np.testing.assert_allclose([extreme.mean[0], extreme.std[0]], [1.0, 0.1], rtol=1e-6)


@pytest.mark.parametrize("minimum, initial", [(0.0, 0.5), (0.5, 0.5), (0.7, 0.5)])
def test_a_head_without_room_is_refused(minimum, initial):
    with pytest.raises(UserError, match="minimum_std"):
        GaussianConfig(initial_std=initial, minimum_std=minimum)


def test_categorical_is_its_definition():
    logits = RNG.normal(size=(5, 3)).astype(np.float32)
    probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    policy, action = Categorical(logits), np.array([0, 2, 1, 1, 0])
    np.testing.assert_allclose(policy.probs(), probs, rtol=1e-5)
    np.testing.assert_allclose(
        policy.log_prob(action), np.log(probs[np.arange(5), action]), rtol=1e-5
    )
    entropy = [scipy.stats.entropy(p) for p in probs]
    np.testing.assert_allclose(policy.entropy(), entropy, rtol=1e-5)
    np.testing.assert_array_equal(policy.mode(), logits.argmax(-1))
    count = 20_000
    draws = Categorical(jnp.tile(logits[0], (count, 1))).sample(jax.random.PRNGKey(0))
    assert draws.dtype == jnp.int32
    np.testing.assert_allclose(np.bincount(draws, minlength=3) / count, probs[0], atol=0.015)


def test_illegal_actions_have_probability_0():
    policy = categorical_policy(np.array([5.0, 0.0, 0.0]), np.array([False, True, True]))
    np.testing.assert_array_equal(policy.probs(), [0.0, 0.5, 0.5])
    assert float(policy.entropy()) == pytest.approx(np.log(2))
