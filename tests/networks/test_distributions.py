"""Policies against SciPy, and against their definitions in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from mukoe.errors import UserError
from mukoe.networks.distributions import (
    Categorical,
    Gaussian,
    GaussianConfig,
    TanhGaussian,
    bounded_gaussian,
    candidate_log_probs,
    categorical_policy,
    gaussian_policy,
    sample_candidates,
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


@pytest.mark.parametrize(
    "mean, std", [(0.0, 0.5), (-1.2, 0.1), (2.5, 0.7), (0.3, 3.0), (3.0, 0.05)]
)
def test_squashed_density_is_a_density_with_this_entropy(mean, std):
    policy = TanhGaussian(jnp.float32([mean]), jnp.float32([std]))
    nodes = np.linspace(mean - 6 * std, mean + 6 * std, 4001)
    actions = np.tanh(nodes)
    inside = np.abs(actions) < 1 - 1e-6
    log_density = np.asarray(policy.log_prob(jnp.float32(actions[:, None])), np.float64)
    # The change of variables: ∫ p(a) f(a) da = ∫ p(tanh u) f(tanh u) (1 - tanh² u) du.
    slope = 1 / np.cosh(nodes) ** 2
    normal = scipy.stats.norm(mean, std).logpdf(nodes)
    np.testing.assert_allclose(
        log_density[inside], (normal - np.log(slope))[inside], atol=0.02, rtol=2e-3
    )
    entropy = scipy.integrate.trapezoid(np.exp(normal) * (np.log(slope) - normal), nodes)
    assert float(policy.entropy()) == pytest.approx(entropy, abs=0.01)


@pytest.mark.parametrize("dims", [1, pytest.param(7, marks=pytest.mark.slow), 20])
@pytest.mark.parametrize("bounds", ["clip", "tanh"])
def test_candidates_have_finite_densities_and_gradients(bounds, dims):
    config = GaussianConfig(bounds, initial_std=0.7, minimum_std=0.02)
    outputs = 40.0 * jax.random.normal(jax.random.PRNGKey(0), (5, 2 * dims))

    def loss(outputs):
        policy = gaussian_policy(outputs, config)
        drawn = jax.lax.stop_gradient(sample_candidates(policy, jax.random.PRNGKey(1), 8))
        log_probs = candidate_log_probs(policy, jnp.moveaxis(drawn, 0, 1), axis=1)
        assert log_probs.shape == (5, 8)
        expected = jnp.stack([policy.log_prob(d) for d in drawn], axis=1)
        return jnp.sum(log_probs) + jnp.sum(policy.entropy()), (drawn, log_probs, expected)

    (value, (drawn, log_probs, expected)), gradient = jax.jit(
        jax.value_and_grad(loss, has_aux=True)
    )(jnp.asarray(outputs))
    np.testing.assert_allclose(log_probs, expected, rtol=1e-5)
    assert drawn.shape == (8, 5, dims)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    if bounds == "tanh":
        assert np.abs(drawn).max() < 1.0


def test_a_stored_squashed_action_is_the_one_that_was_drawn():
    """No action is clipped later: its density needs no other number than itself."""
    policy = TanhGaussian(jnp.full((1000, 1), 3.0), jnp.full((1000, 1), 2.0))
    noise = policy.noise(jax.random.PRNGKey(0))
    actions = policy.perturb(noise)
    u = np.arctanh(np.asarray(actions, np.float64))
    inside = np.abs(u) < 5
    np.testing.assert_allclose(u[inside], (3.0 + 2.0 * noise)[inside], rtol=0.02)
    assert (np.abs(actions) < 1).all()


def test_widened_policies():
    wide = Gaussian(MEAN, STD).widened(3.0)
    np.testing.assert_array_equal(wide.std, 3 * STD)
    np.testing.assert_array_equal(TanhGaussian(MEAN, STD).widened(3.0).std, 3 * STD)
    np.testing.assert_array_equal(Categorical(MEAN).widened(2.0).logits, MEAN / 2)
    assert isinstance(bounded_gaussian(MEAN, STD, GaussianConfig("tanh")), TanhGaussian)
