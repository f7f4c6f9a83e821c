"""Shapes, return estimators and categorical losses of planning agents."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
import scipy.stats
from dm_env import specs

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import TargetSettings, UnrollLossConfig
from mukoe.agents.planning.deterministic_model.builder import DeterministicModelBuilder
from mukoe.agents.planning.deterministic_model.losses import make_loss
from mukoe.agents.planning.losses import (
    cross_entropy,
    policy_entropy,
    policy_losses,
    share_outside_bins,
)
from mukoe.agents.planning.targets import make_targets
from mukoe.errors import UserError
from mukoe.learning.returns import n_step_returns
from mukoe.networks.action_space import BoxSpace, DiscreteSpace
from mukoe.networks.config import NetworkConfig
from mukoe.networks.distributions import GaussianConfig
from mukoe.networks.value_encoding import SupportConfig, ValueEncoding
from mukoe.types import EnvironmentSpec, Row, Sample

A, B, K, N = 3, 4, 2, 2
S = K + N + 1
SUPPORT = SupportConfig(-2.0, 2.0, 5)
SPEC = EnvironmentSpec(
    observations=specs.Array((2,), np.float32),
    actions=specs.DiscreteArray(A),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
)
CONFIG = MuZeroConfig(
    network=NetworkConfig(
        hidden_sizes=(4,), width=4, head_sizes=(4,), value_support=SUPPORT, reward_support=SUPPORT
    ),
    loss=UnrollLossConfig(unroll_steps=K, td_steps=N),
)


def make_sample():
    random = np.random.default_rng(0)
    rows = Row(
        observation=random.normal(size=(B, S, 2)).astype(np.float32),
        action=random.integers(0, A, (B, S)).astype(np.int32),
        reward=random.normal(size=(B, S)).astype(np.float32),
        discount=np.ones((B, S), np.float32),
        mask=np.ones((B, S), np.float32),
        extras={
            "search_policy": random.dirichlet(np.ones(A), (B, S)).astype(np.float32),
            "search_value": random.normal(size=(B, S)).astype(np.float32),
        },
    )
    return Sample((), np.full(B, 0.25, np.float32), rows)


def evaluate(change):
    """Computes the loss of networks whose predictions are changed."""
    networks = DeterministicModelBuilder(CONFIG).make_networks(SPEC)
    prediction = networks.prediction
    changed = dataclasses.replace(
        networks, prediction=lambda params, state: change(prediction(params, state))
    )
    params = networks.init(jax.random.PRNGKey(0))
    return make_loss(changed, CONFIG)(params, params, make_sample(), jax.random.PRNGKey(0))


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p._replace(value_logits=p.value_logits[:, None]),
        lambda p: p._replace(value_logits=p.value_logits[:, :1]),
        lambda p: p._replace(policy_logits=p.policy_logits[:, :1]),
    ],
)
def test_predictions_of_a_wrong_shape_are_refused_in_one_line(change):
    evaluate(lambda p: p)
    with pytest.raises(UserError, match="_logits .* must have shape .*, not") as error:
        evaluate(change)
    assert "\n" not in str(error.value).strip()


def test_targets_refuse_values_with_an_axis_too_many():
    rows = make_sample().rows
    values = rows.extras["search_value"][..., None]
    with pytest.raises(AssertionError, match="assert_equal_shape"):
        make_targets(rows, values, jax.random.PRNGKey(0), DiscreteSpace(A), CONFIG.targets)


def test_cross_entropy_and_entropy_are_those_of_rlax():
    random = np.random.default_rng(1)
    logits = jnp.asarray(random.normal(size=(B, A)), jnp.float32)
    for action in range(A):
        np.testing.assert_allclose(
            cross_entropy(logits, jax.nn.one_hot(np.full(B, action), A)),
            -rlax.softmax().logprob(jnp.full(B, action), logits),
            rtol=1e-5,
        )
    np.testing.assert_allclose(policy_entropy(logits), rlax.softmax().entropy(logits), rtol=1e-5)


def zero_returns(rewards, discounts, mask, values, n, discount, td_lambda):
    """Return estimator that is always 0."""
    return 0.0 * rewards[..., :-n]


def test_the_return_estimator_is_chosen_by_name():
    rows = make_sample().rows
    values = rows.extras["search_value"]
    expected = n_step_returns(rows.reward, rows.discount, rows.mask, values, N, 0.9)
    settings = TargetSettings(unroll_steps=K, td_steps=N, discount=0.9, td_lambda=0.5)
    n_step = dataclasses.replace(settings, estimator="n_step").returns(rows, values)
    np.testing.assert_array_equal(n_step, expected)
    assert np.abs(settings.returns(rows, values) - expected).max() > 1e-3
    own = dataclasses.replace(settings, estimator=f"{__name__}:zero_returns")
    np.testing.assert_array_equal(own.returns(rows, values), np.zeros((B, S - N)))


def test_an_unknown_return_estimator_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match="unknown return estimator 'n_steps': did you mean n_step"):
        UnrollLossConfig(value_target="n_steps")


def test_share_of_clipped_targets_counts_known_ones_only():
    encoding = ValueEncoding(SupportConfig(0.0, 100.0, 101, hyperbolic=False))
    targets = jnp.float32([[-99.0, 3.0, -1.0], [50.0, -7.0, 200.0]])
    mask = jnp.float32([[1, 1, 1], [1, 0, 0]])
    assert share_outside_bins(encoding, targets, mask) == 0.5


def candidate_sample(space, count=6):
    """Rows of random candidates and actions of a box, of which one item ends after two actions."""
    sample, random = make_sample(), np.random.default_rng(2)
    shape = (B, S, count, space.size)
    extras = {
        **sample.rows.extras,
        "search_policy": random.dirichlet(np.ones(count), (B, S)).astype(np.float32),
        "search_candidates": random.normal(size=shape).astype(np.float32),
    }
    discount, mask = np.ones((B, S), np.float32), np.ones((B, S), np.float32)
    discount[0, 1:], mask[0, 2:] = 0.0, 0.0
    action = 2.0 + random.uniform(size=(B, S, space.size)).astype(np.float32)
    rows = sample.rows._replace(extras=extras, action=action, discount=discount, mask=mask)
    return sample._replace(rows=rows)


@pytest.mark.parametrize("policy_target", ["search", "best"])
def test_policy_loss_of_candidates_is_scipys(policy_target):
    space = BoxSpace(3, GaussianConfig())
    rows = candidate_sample(space).rows
    values = rows.extras["search_value"]
    targets = make_targets(rows, values, jax.random.PRNGKey(0), space, CONFIG.targets)
    outputs = np.random.default_rng(3).normal(size=(B, 6)).astype(np.float32)
    mean, std = np.tanh(outputs[:, :3]), np.asarray(space.policy(outputs).std)
    config = UnrollLossConfig(policy_target=policy_target, entropy_weight=0.1)
    for step in range(K + 1):
        loss = policy_losses(space, config, jnp.asarray(outputs), targets, step)
        for b in range(B):
            normal = scipy.stats.multivariate_normal(mean[b], np.diag(std[b].astype(float) ** 2))
            policy = rows.extras["search_policy"][b, step]
            log_probs = normal.logpdf(rows.extras["search_candidates"][b, step])
            expected = (
                -policy @ log_probs if policy_target == "search" else (-log_probs[policy.argmax()])
            )
            expected -= 0.1 * normal.entropy()
            np.testing.assert_allclose(loss[b], expected, rtol=1e-4)


def test_actions_in_absorbing_states_are_random_within_the_bounds():
    space = BoxSpace(3, GaussianConfig())
    rows = candidate_sample(space).rows
    values = rows.extras["search_value"]
    targets = make_targets(rows, values, jax.random.PRNGKey(0), space, CONFIG.targets)
    np.testing.assert_array_equal(targets.masks.acted[0], [1, 1, 0])
    np.testing.assert_array_equal(targets.actions[0, :2], rows.action[0, :2])
    assert (np.abs(targets.actions[0, 2]) < 1).all()
    np.testing.assert_array_equal(targets.actions[1:], rows.action[1:, : K + 1])


def test_entropy_bonus_of_all_actions():
    rows = make_sample().rows
    values = rows.extras["search_value"]
    space, key = DiscreteSpace(A), jax.random.PRNGKey(0)
    targets = make_targets(rows, values, key, space, CONFIG.targets)
    logits = jnp.asarray(np.random.default_rng(3).normal(size=(B, A)), jnp.float32)
    loss = policy_losses(space, UnrollLossConfig(entropy_weight=0.1), logits, targets, 1)
    expected = cross_entropy(logits, targets.policies[:, 1]) - 0.1 * policy_entropy(logits)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
