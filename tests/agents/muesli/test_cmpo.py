"""Clipped MPO against its definition, its bound, and its sampled form against the exact one."""

import itertools

import jax
import numpy as np
import pytest

from mukoe.agents.muesli.cmpo import (
    MovingSecondMoment,
    cmpo_policy,
    sampled_cmpo_target,
    sampled_cmpo_weights,
)


def test_cmpo_policy_in_numbers():
    # Weights 0.5 e^1, 0.3 e^-1 (clipped from -7), 0.2 e^0.5.
    weights = np.array([0.5 * np.e, 0.3 / np.e, 0.2 * np.exp(0.5)])
    policy = cmpo_policy(np.array([0.5, 0.3, 0.2]), np.array([1.0, -7.0, 0.5]), 1.0)
    np.testing.assert_allclose(policy, weights / weights.sum(), rtol=1e-6)


def test_illegal_actions_stay_out():
    policy = np.asarray(cmpo_policy(np.array([0.5, 0.0, 0.5]), np.array([0.0, 9.0, 0.0]), 1.0))
    np.testing.assert_allclose(policy, [0.5, 0.0, 0.5], rtol=1e-6)
    assert policy[1] == 0


@pytest.mark.parametrize("clip", [0.5, 1.0, 2.0])
def test_total_variation_to_the_prior_is_bounded(clip):
    rng = np.random.default_rng(0)
    prior = rng.dirichlet(np.full(5, 0.5), 2000)
    advantages = 10 * rng.normal(size=(2000, 5))
    policy = np.asarray(cmpo_policy(prior, advantages, clip))
    variation = 0.5 * np.abs(policy - prior).sum(-1)
    assert variation.max() <= np.tanh(clip / 2) + 1e-6
    # The worst case of two actions reaches the bound: advantages at both ends, and a prior
    # for which the derivative is 0.
    p = 1 / (1 + np.exp(clip))
    worst = np.asarray(cmpo_policy(np.array([p, 1 - p]), np.array([9.0, -9.0]), clip))
    assert 0.5 * np.abs(worst - [p, 1 - p]).sum() == pytest.approx(np.tanh(clip / 2), abs=1e-6)


def test_sampled_weights_leave_their_own_advantage_out():
    advantages = np.array([0.5, -3.0, 0.0])
    e = np.exp(np.clip(advantages, -1, 1))
    z = np.array([1 + e[1] + e[2], 1 + e[0] + e[2], 1 + e[0] + e[1]]) / 3
    np.testing.assert_allclose(sampled_cmpo_weights(advantages, 1.0), e / z, rtol=1e-6)


def test_sampled_target_is_the_mean_over_all_draws():
    """Two draws of two actions: all four outcomes, each with its probability."""
    prior, advantages = np.array([0.3, 0.7]), np.array([0.8, -0.4])
    e = np.exp(advantages)
    expected = np.zeros(2)
    for draws in itertools.product(range(2), repeat=2):
        probability = prior[draws[0]] * prior[draws[1]]
        for own, other in (draws, draws[::-1]):
            expected[own] += probability * e[own] / ((1 + e[other]) / 2) / 2
    count = 40_000
    targets = sampled_cmpo_target(
        jax.random.PRNGKey(0), np.tile(prior, (count, 1)), np.tile(advantages, (count, 1)), 1.0, 2
    )
    np.testing.assert_allclose(np.mean(targets, axis=0), expected, atol=0.01)


def test_sampled_target_converges_to_the_exact_policy():
    rng = np.random.default_rng(1)
    prior = rng.dirichlet(np.ones(4), 8).astype(np.float32)
    advantages = rng.normal(size=(8, 4)).astype(np.float32)
    exact = cmpo_policy(prior, advantages, 1.0)
    errors = [
        np.abs(sampled_cmpo_target(jax.random.PRNGKey(2), prior, advantages, 1.0, n) - exact).max()
        for n in (16, 20_000)
    ]
    assert errors[1] < 0.02 < errors[0]


def test_second_moment_is_unbiased_and_scales_with_the_square():
    moment, squares = MovingSecondMoment.zero(), [4.0, 1.0, 9.0]
    for square in squares:
        moment = moment.add(square, 0.9)
    weights = 0.1 * 0.9 ** np.arange(2, -1, -1)
    expected = np.sum(weights * squares) / np.sum(weights)
    assert float(moment.scale(0.0)) == pytest.approx(np.sqrt(expected), rel=1e-5)
    one = MovingSecondMoment.zero().add(25.0, 0.99)
    assert float(one.scale(1e-12)) == pytest.approx(5.0, rel=1e-5)
