"""The loss against a slow version with loops, written from the paper (appendix G)."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from dm_env import specs

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.planning.deterministic_model.builder import DeterministicModelBuilder
from mukoe.agents.planning.deterministic_model.losses import make_loss
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.types import EnvironmentSpec, Row, Sample
from tests.networks.tiny import random_params

A, B, K, N, F = 3, 8, 2, 2, 4
S = K + N + 1
DISCOUNT, BETA, EPSILON = 0.9, 0.6, 0.01
VALUE_BINS = np.linspace(-6, 6, 13)
REWARD_BINS = np.linspace(-2, 2, 5)
SPEC = EnvironmentSpec(
    observations=specs.Array((3,), np.float32),
    actions=specs.DiscreteArray(A),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
)
CONFIG = MuZeroConfig(
    network=NetworkConfig(
        hidden_sizes=(8,),
        width=8,
        head_sizes=(8,),
        value_support=SupportConfig(-6.0, 6.0, 13),
        reward_support=SupportConfig(-2.0, 2.0, 5),
    ),
    history=HistoryConfig(frames=F),
    discount=DISCOUNT,
    loss=UnrollLossConfig(
        unroll_steps=K, td_steps=N, policy_weight=0.7, value_weight=0.3, reward_weight=1.3
    ),
    replay=PlanningReplayConfig(importance_exponent=BETA, priority_epsilon=EPSILON),
)


@functools.cache
def build(config=CONFIG):
    networks = DeterministicModelBuilder(config).make_networks(SPEC)
    return networks, random_params(networks.init, noise=0.3)


def make_sample(seed=0):
    """Episodes that end after 1, 2, ... actions: the first half terminate, the others do not."""
    rng = np.random.default_rng(seed)
    T = F - 1 + S
    mask = np.zeros((B, T), np.float32)
    discount = np.zeros((B, T), np.float32)
    for b in range(B):
        start = F - 1 - rng.integers(0, F)
        end = F - 1 + [1, 2, 4, 7, 1, 2, 3, 7][b]
        mask[b, start:end] = 1
        discount[b, start:end] = 1
        if b < 4 and end <= T:
            discount[b, end - 1] = 0
    policy = rng.dirichlet(np.ones(A), (B, T)).astype(np.float32)
    rows = Row(
        # Not zero on padding, to see that padding is never looked at.
        observation=rng.normal(size=(B, T, 3)).astype(np.float32),
        action=rng.integers(0, A, (B, T)).astype(np.int32),
        reward=(2 * rng.normal(size=(B, T)) * mask).astype(np.float32),
        discount=discount,
        mask=mask,
        extras={
            "search_policy": policy,
            "search_value": (5 * rng.normal(size=(B, T))).astype(np.float32),
        },
    )
    probabilities = rng.uniform(0.01, 0.2, B).astype(np.float32)
    return Sample(np.arange(B, dtype=np.uint64), probabilities, rows)


def h(x):
    return np.sign(x) * (np.sqrt(abs(x) + 1) - 1) + 0.001 * x


def inverse_h(y):
    """By bisection: h is increasing."""
    low, high = -1e4, 1e4
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if h(middle) < y else (low, middle)
    return low


def two_hot(x, bins):
    y = np.clip(h(x), bins[0], bins[-1])
    upper = min(max(int(np.searchsorted(bins, y)), 1), len(bins) - 1)
    share = (y - bins[upper - 1]) / (bins[upper] - bins[upper - 1])
    target = np.zeros(len(bins))
    target[upper - 1], target[upper] = 1 - share, share
    return target


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def cross_entropy(target, logits):
    return -float(np.sum(target * log_softmax(logits)))


def decode(logits, bins):
    return inverse_h(float(np.sum(np.exp(log_softmax(logits)) * bins)))


def network_input(rows, b, i):
    """The frames `i-3 .. i`, oldest first; zero where there was no step yet."""
    frames = [rows.observation[b, j] * (rows.mask[b, j] > 0) for j in range(i - F + 1, i)]
    return np.concatenate([*frames, rows.observation[b, i]])[None]


def slow_loss(networks, params, target_params, sample, bootstrap, absorbing_actions):
    rows, loss = sample.rows, CONFIG.loss
    first = F - 1
    total, priorities = 0.0, []
    weights = (1 / sample.probabilities.astype(np.float64)) ** BETA
    weights /= weights.max()

    def bootstrap_value(b, i):
        if bootstrap == "search":
            return rows.extras["search_value"][b, i]
        state = networks.representation(target_params, network_input(rows, b, i))
        return decode(networks.prediction(target_params, state).value_logits[0], VALUE_BINS)

    def value_target(b, i):
        z, weight = 0.0, 1.0
        for j in range(i, i + N):
            z += weight * rows.reward[b, j]
            weight *= DISCOUNT * rows.discount[b, j]
            if weight == 0:
                return z
            if not rows.mask[b, j + 1]:
                return z + weight * bootstrap_value(b, j + 1)
        return z + weight * bootstrap_value(b, i + N)

    for b in range(B):
        terminated = False
        state = networks.representation(params, network_input(rows, b, first))
        policy_loss = value_loss = reward_loss = 0.0
        for k in range(K + 1):
            i = first + k
            scale = 1.0 if k == 0 else 1 / K
            acted = rows.mask[b, i] > 0
            prediction = networks.prediction(params, state)
            z = value_target(b, i) if acted else 0.0
            if k == 0:
                v = decode(prediction.value_logits[0], VALUE_BINS)
                priorities.append(abs(v - z) + EPSILON)
            if acted:
                target = rows.extras["search_policy"][b, i]
                policy_loss += scale * cross_entropy(target, prediction.policy_logits[0])
            if acted or terminated:
                target = two_hot(z, VALUE_BINS)
                value_loss += scale * cross_entropy(target, prediction.value_logits[0])
            if k < K:
                action = rows.action[b, i] if acted else absorbing_actions[b, k]
                state, reward_logits = networks.dynamics(params, state, np.array([action]))
                if acted or terminated:
                    target = two_hot(rows.reward[b, i] if acted else 0.0, REWARD_BINS)
                    reward_loss += cross_entropy(target, reward_logits[0]) / K
                terminated |= acted and rows.discount[b, i] == 0
        per_sample = (
            loss.policy_weight * policy_loss
            + loss.value_weight * value_loss
            + loss.reward_weight * reward_loss
        )
        total += weights[b] * per_sample / B
    return total, priorities


@pytest.mark.parametrize("bootstrap", ["search", "target"])
def test_loss_and_priorities_equal_the_slow_ones(bootstrap):
    config = dataclasses.replace(CONFIG, loss=dataclasses.replace(CONFIG.loss, bootstrap=bootstrap))
    networks, params = build(config)
    target_params = jax.tree.map(lambda x: 0.7 * x + 0.1, params)
    sample, key = make_sample(), jax.random.PRNGKey(3)
    # In absorbing states any action will do; these are the ones that the key gives.
    absorbing_actions = np.asarray(jax.random.randint(key, (B, K + 1), 0, A))
    expected, priorities = slow_loss(
        networks, params, target_params, sample, bootstrap, absorbing_actions
    )
    loss, extra = jax.jit(make_loss(networks, config))(
        params, target_params, sample._replace(keys=()), key
    )
    np.testing.assert_allclose(loss, expected, rtol=2e-4)
    np.testing.assert_allclose(extra.priorities, priorities, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(extra.metrics["loss"], expected, rtol=2e-4)
    assert extra.metrics.keys() >= {"values_outside_bins", "rewards_outside_bins"}


def gradients(config, sample=None):
    networks, params = build(config)
    loss = make_loss(networks, config)
    sample = (sample or make_sample())._replace(keys=())
    grads, _ = jax.jit(jax.grad(loss, has_aux=True))(params, params, sample, jax.random.PRNGKey(0))
    return grads


def test_reward_loss_reaches_the_representation_and_no_other_head():
    only_reward = dataclasses.replace(CONFIG.loss, policy_weight=0.0, value_weight=0.0)
    grads = gradients(dataclasses.replace(CONFIG, loss=only_reward))
    norms = {
        part: sum(
            float(np.abs(leaf).sum())
            for name, leaves in grads.items()
            for leaf in leaves.values()
            if part in name
        )
        for part in ("representation", "dynamics", "prediction")
    }
    assert norms["representation"] > 0 and norms["dynamics"] > 0
    assert norms["prediction"] == 0


def test_target_parameters_get_no_gradient():
    config = dataclasses.replace(CONFIG, loss=dataclasses.replace(CONFIG.loss, bootstrap="target"))
    networks, params = build(config)
    loss = make_loss(networks, config)
    sample = make_sample()._replace(keys=())
    of_target = jax.grad(lambda target: loss(params, target, sample, jax.random.PRNGKey(0))[0])
    grads = jax.jit(of_target)(params)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(grads))


def test_nothing_behind_a_truncation_counts():
    sample = make_sample()
    mask = np.asarray(sample.rows.mask)
    ends = [np.flatnonzero(row)[-1] + 1 for row in mask]
    rows = jax.tree.map(np.copy, sample.rows)
    truncated = range(4, 7)
    for b in truncated:
        # Behind the final observation (row `end`) everything is other.
        rows.observation[b, ends[b] + 1 :] = 9
        rows.action[b, ends[b] :] = 2
        rows.extras["search_value"][b, ends[b] + 1 :] = 99
        rows.extras["search_policy"][b, ends[b] :] = 1 / A
    networks, params = build()
    loss = jax.jit(make_loss(networks, CONFIG))
    key = jax.random.PRNGKey(0)
    before, _ = loss(params, params, sample._replace(keys=()), key)
    after, _ = loss(params, params, sample._replace(keys=(), rows=rows), key)
    assert float(before) == float(after)


def test_initial_priority_is_the_error_of_the_stored_value():
    sample = make_sample()
    initial_priority = DeterministicModelBuilder(CONFIG).replay.initial_priority
    # Truncated after one action: |v_0 - (r + γ v_1)| + ε.
    rows = jax.tree.map(lambda array: array[4, F - 1 :], sample.rows)
    v, r = rows.extras["search_value"], rows.reward
    assert initial_priority(rows) == pytest.approx(abs(v[0] - (r[0] + 0.9 * v[1])) + 0.01, rel=1e-5)
    # Terminated after one action: |v_0 - r| + ε.
    rows = jax.tree.map(lambda array: array[0, F - 1 :], sample.rows)
    v, r = rows.extras["search_value"], rows.reward
    assert initial_priority(rows) == pytest.approx(abs(v[0] - r[0]) + 0.01, rel=1e-5)
