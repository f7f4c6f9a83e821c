"""Muesli with actions of several parts: choices and numbers with a joint probability."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from dm_env import specs

from mukoe.agents.muesli.actions import make_actions
from mukoe.agents.muesli.cmpo import MovingSecondMoment, cmpo_policy
from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig
from mukoe.agents.muesli.look_ahead import LookAhead
from mukoe.networks.config import NetworkConfig
from mukoe.networks.distributions import Categorical, Gaussian, Product
from mukoe.replay.declaration import row_spec
from mukoe.types import EnvironmentSpec, PolicyParams, ProductArray, Sample

B, KEY = 4, jax.random.PRNGKey(0)
CHOICES, IS_CHOICE = (3, 0, 2), (True, False, True)
CONFIG = MuesliConfig(
    network=NetworkConfig(hidden_sizes=(8,), width=8, head_sizes=(8,), dynamics="lstm"),
    loss=MuesliLossConfig(
        sequence_length=3, unroll_steps=1, num_samples=4, prior_behavior=0.1, prior_uniform=0.05
    ),
)


def spec_of(choices):
    return EnvironmentSpec(
        observations=specs.Array((3,), np.float32),
        actions=ProductArray(choices),
        rewards=specs.Array((), np.float32),
        discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
    )


def build(choices=CHOICES):
    builder, spec = CONFIG.make_builder(), spec_of(choices)
    networks = builder.make_networks(spec)
    return builder, spec, networks, make_actions(networks, CONFIG)


def policy_of(probs, mean, std, other):
    logits = [Categorical(jnp.log(jnp.float32([p]))) for p in (probs, other)]
    return Product(tuple(logits), Gaussian(jnp.float32([[mean]]), jnp.float32([[std]])), IS_CHOICE)


def test_the_behaviour_policy_is_stored_as_it_acted():
    builder, spec, networks, actions = build()
    policy = builder.make_policy(networks, spec)
    params = PolicyParams(jax.jit(networks.init)(KEY), jnp.int32(0))
    state = policy.initial_state(B)
    action, extras, _ = jax.jit(policy.apply)(params, KEY, jnp.ones((B, 3)), state)
    for name, array in policy.extras_spec.items():
        assert extras[name].shape == (B, *array.shape) and extras[name].dtype == array.dtype, name
    assert action.shape == (B, 3) and set(np.unique(action[:, 0])) <= {0.0, 1.0, 2.0}
    # A fresh head: uniform choices, and mean 0 with the first standard deviation.
    density = scipy.stats.norm(0, CONFIG.network.gaussian.initial_std).logpdf(action[:, 1])
    expected = np.log(1 / 3) + np.log(1 / 2) + density
    np.testing.assert_allclose(actions.behavior(extras).log_prob(action), expected, rtol=1e-5)


@pytest.mark.parametrize("choices", [(2, 3, 4), (0, 2), (2, 0, 0)])
def test_choices_alone_and_any_order_of_parts(choices):
    _, _, networks, actions = build(choices)
    outputs = jax.random.normal(KEY, (B, networks.action_space.num_outputs))
    policy = actions.policy(outputs)
    drawn = policy.sample(KEY)
    again = actions.behavior(actions.stored(policy))
    np.testing.assert_allclose(again.log_prob(drawn), policy.log_prob(drawn), rtol=1e-4)
    padding = jax.tree.map(lambda x: jnp.zeros_like(x), actions.stored(policy))
    assert np.isfinite(actions.behavior(padding).log_prob(jnp.zeros_like(drawn))).all()


def test_the_mixed_prior_is_that_of_scipy_and_draws_follow_it():
    _, _, _, actions = build()
    target = policy_of([0.7, 0.2, 0.1], 0.6, 0.1, [0.9, 0.1])
    behavior = policy_of([0.1, 0.1, 0.8], -0.5, 0.2, [0.5, 0.5])
    parts = (
        (0.85, [0.7, 0.2, 0.1], scipy.stats.norm(0.6, 0.1), [0.9, 0.1]),
        (0.10, [0.1, 0.1, 0.8], scipy.stats.norm(-0.5, 0.2), [0.5, 0.5]),
        (0.05, [1 / 3] * 3, scipy.stats.uniform(-1, 2), [0.5, 0.5]),
    )
    points = np.float32([[[0, 0.5, 0]], [[2, -0.4, 1]], [[1, 1.5, 0]]])
    expected = [
        np.log(sum(w * p[int(x)] * n.pdf(y) * q[int(z)] for w, p, n, q in parts))
        for [[x, y, z]] in points
    ]
    np.testing.assert_allclose(
        actions._prior_log_prob(target, behavior, points)[:, 0], expected, rtol=1e-4
    )
    draws = np.asarray(actions._sample_prior(KEY, target, behavior, 20_000))[:, 0]
    shares = np.bincount(draws[:, 0].astype(int), minlength=3) / len(draws)
    np.testing.assert_allclose(shares, sum(w * np.array(p) for w, p, _, _ in parts), atol=0.02)
    # The parts of one action come from the same policy of the mixture.
    together = np.mean((draws[:, 0] == 2) & (draws[:, 1] < 0))
    expected = sum(w * p[2] * n.cdf(0) for w, p, n, _ in parts)
    np.testing.assert_allclose(together, expected, atol=0.01)


def test_the_sampled_target_converges_to_cmpo_over_all_combinations():
    _, _, _, actions = build((2, 3))
    prior = jnp.float32([[0.2, 0.1, 0.1, 0.3, 0.2, 0.1]])
    qvalues = jnp.float32([-2.0, 0.0, 0.5, -0.5, 0.2, 2.0])
    index = jax.random.categorical(KEY, jnp.log(prior[0]), shape=(40_000,))
    drawn = jnp.stack([index // 3, index % 3], axis=-1).astype(jnp.float32)
    value = jnp.sum(prior[0] * qvalues)
    look = LookAhead(
        values=value[None],
        taken_values=value[None],
        ratios=jnp.ones(1),
        prior=jnp.log(prior[0][index])[None],
        action_values=qvalues[index][None],
        actions=drawn[None],
    )
    target = actions.improve(look, jnp.float32(1.0), KEY)
    found = np.bincount(np.asarray(index), np.asarray(target.weights[0]), minlength=6)
    clip = CONFIG.loss.advantage_clip
    expected = cmpo_policy(prior, (qvalues - value)[None], clip)[0]
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_every_part_of_the_policy_learns():
    builder, spec, networks, actions = build()
    params = networks.init(KEY)
    random, length = np.random.default_rng(0), builder.replay.item_length
    policy = builder.make_policy(networks, spec)
    rows = jax.tree.map(
        lambda array: random.normal(size=(B, length, *array.shape)).astype(array.dtype),
        row_spec(spec, policy.extras_spec),
    )
    outputs = jax.random.normal(KEY, (B, length, networks.action_space.num_outputs))
    behavior = actions.policy(outputs)
    ones = np.ones((B, length), np.float32)
    rows = rows._replace(
        action=behavior.sample(KEY), discount=ones, mask=ones, extras=actions.stored(behavior)
    )
    sample = Sample((), np.full(B, 0.5, np.float32), rows)
    loss = builder.make_loss(networks, spec)
    gradient, extra = jax.jit(jax.grad(loss, has_aux=True))(
        params, params, sample, KEY, MovingSecondMoment.zero()
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradient, extra.metrics)))
    (head,) = [
        leaf
        for name, module in gradient.items()
        for leaf in module.values()
        if "policy_head" in name and leaf.shape == (networks.action_space.num_outputs,)
    ]
    assert np.all(np.abs(head) > 0)
