"""The loss against a slow version with loops, written from the paper (section 4)."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.stochastic_muzero.builder import StochasticMuZeroBuilder
from mukoe.agents.stochastic_muzero.config import ChanceConfig, StochasticMuZeroConfig
from mukoe.agents.stochastic_muzero.losses import chance_metrics, make_codes, make_loss
from mukoe.agents.stochastic_muzero.networks import straight_through
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.types import EnvironmentSpec, Row, Sample
from tests.networks.tiny import random_params

A, B, K, N, F, M = 3, 6, 2, 3, 2, 5
DISCOUNT, LAMBDA, BETA, EPSILON = 0.9, 0.5, 0.6, 0.01
VALUE_BINS = np.linspace(-6, 6, 13)
REWARD_BINS = np.linspace(-2, 2, 5)
SPEC = EnvironmentSpec(
    observations=specs.Array((3,), np.float32),
    actions=specs.DiscreteArray(A),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
)
CONFIG = StochasticMuZeroConfig(
    network=NetworkConfig(
        hidden_sizes=(8,),
        width=8,
        head_sizes=(8,),
        value_support=SupportConfig(-6.0, 6.0, 13, hyperbolic=False),
        reward_support=SupportConfig(-2.0, 2.0, 5, hyperbolic=False),
    ),
    history=HistoryConfig(frames=F),
    discount=DISCOUNT,
    loss=UnrollLossConfig(
        unroll_steps=K,
        td_steps=N,
        td_lambda=LAMBDA,
        policy_weight=0.7,
        value_weight=0.3,
        reward_weight=1.3,
    ),
    replay=PlanningReplayConfig(importance_exponent=BETA, priority_epsilon=EPSILON),
    chance=ChanceConfig(
        codebook_size=M, afterstate_value_weight=0.4, chance_weight=0.8, commitment_weight=0.2
    ),
)


@functools.cache
def build(config=CONFIG, seed=0):
    networks = StochasticMuZeroBuilder(config).make_networks(SPEC)
    return networks, random_params(networks.init, noise=0.3, seed=seed)


def make_sample(seed=0):
    """Episodes that end after 1, 2 or 7 actions: the first half terminate, the others do not."""
    rng = np.random.default_rng(seed)
    T = F - 1 + K + N + 1
    mask, discount = np.zeros((2, B, T), np.float32)
    for b in range(B):
        end = F - 1 + [1, 2, 7, 1, 2, 7][b]
        mask[b, rng.integers(0, F) : end] = 1
        discount[b, : min(end, T)] = 1
        if b < 3 and end <= T:
            discount[b, end - 1] = 0
    rows = Row(
        observation=rng.normal(size=(B, T, 3)).astype(np.float32),
        action=rng.integers(0, A, (B, T)).astype(np.int32),
        reward=(rng.uniform(-2, 2, (B, T)) * mask).astype(np.float32),
        discount=discount * mask,
        mask=mask,
        extras={
            "search_policy": rng.dirichlet(np.ones(A), (B, T)).astype(np.float32),
            "search_value": (3 * rng.normal(size=(B, T))).astype(np.float32),
        },
    )
    probabilities = rng.uniform(0.01, 0.2, B).astype(np.float32)
    return Sample(np.arange(B, dtype=np.uint64), probabilities, rows)


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def cross_entropy(target, logits):
    return -float(np.sum(target * log_softmax(logits)))


def two_hot(x, bins):
    x = np.clip(x, bins[0], bins[-1])
    upper = min(max(int(np.searchsorted(bins, x)), 1), len(bins) - 1)
    share = (x - bins[upper - 1]) / (bins[upper] - bins[upper - 1])
    target = np.zeros(len(bins))
    target[upper - 1], target[upper] = 1 - share, share
    return target


def network_input(rows, b, i):
    """The frames `i-1` and `i`; zero where there was no step yet."""
    return np.concatenate(
        [rows.observation[b, i - 1] * rows.mask[b, i - 1], rows.observation[b, i]]
    )


def n_step_return(rows, b, i, n):
    z, weight = 0.0, 1.0
    for j in range(i, i + n):
        z += weight * rows.reward[b, j]
        weight *= DISCOUNT * rows.discount[b, j]
        if weight == 0 or not rows.mask[b, j + 1]:
            return z + weight * rows.extras["search_value"][b, j + 1]
    return z + weight * rows.extras["search_value"][b, i + n]


def value_target(rows, b, i):
    """The truncated λ-return from its definition: a mean of returns of 1 to N steps."""
    returns = [n_step_return(rows, b, i, n) for n in range(1, N + 1)]
    weights = [(1 - LAMBDA) * LAMBDA ** (n - 1) for n in range(1, N)] + [LAMBDA ** (N - 1)]
    return float(np.dot(weights, returns))


def slow_loss(networks, params, sample, random_actions, random_codes):
    rows, config = sample.rows, CONFIG
    weights = (1 / sample.probabilities.astype(np.float64)) ** BETA
    weights /= weights.max()
    total, priorities, parts = 0.0, [], []
    for b in range(B):
        losses = dict.fromkeys(
            ("policy", "value", "reward", "afterstate_value", "chance", "commitment"), 0.0
        )
        terminated = False
        state = networks.representation(params, network_input(rows, b, F - 1)[None])
        for k in range(K + 1):
            i = F - 1 + k
            scale = 1.0 if k == 0 else 1 / K
            acted = rows.mask[b, i] > 0
            z = value_target(rows, b, i) if acted else 0.0
            prediction = networks.prediction(params, state)
            value_logits = np.asarray(prediction.value_logits[0])
            if k == 0:
                v = float(np.sum(np.exp(log_softmax(value_logits)) * VALUE_BINS))
                priorities.append(abs(v - z) + EPSILON)
            if acted:
                target = rows.extras["search_policy"][b, i]
                losses["policy"] += scale * cross_entropy(target, prediction.policy_logits[0])
            if acted or terminated:
                losses["value"] += scale * cross_entropy(two_hot(z, VALUE_BINS), value_logits)
            if k == K:
                break
            action = rows.action[b, i] if acted else random_actions[b, k]
            afterstate = networks.afterstate_dynamics(params, state, np.array([action]))
            after = networks.afterstate_prediction(params, afterstate)
            if acted or terminated:
                # The value target of the state before the action, not of that which follows.
                target = two_hot(z, VALUE_BINS)
                losses["afterstate_value"] += cross_entropy(target, after.value_logits[0]) / K
            code = np.eye(M)[random_codes[b, k]]
            if acted:
                # The code of what was seen next, t + k + 1.
                seen = (network_input(rows, b, j)[None] for j in (i, i + 1))
                encoding = networks.encoder(params, *seen)[0]
                code = np.eye(M)[int(np.argmax(encoding))]
                losses["chance"] += cross_entropy(code, after.chance_logits[0]) / K
                losses["commitment"] += float(np.sum((code - np.asarray(encoding)) ** 2)) / K
            state, reward_logits = networks.dynamics(params, afterstate, code[None])
            if acted or terminated:
                target = two_hot(rows.reward[b, i] if acted else 0.0, REWARD_BINS)
                losses["reward"] += cross_entropy(target, reward_logits[0]) / K
            terminated |= acted and rows.discount[b, i] == 0
        scales = {
            "policy": config.loss.policy_weight,
            "value": config.loss.value_weight,
            "reward": config.loss.reward_weight,
            "afterstate_value": config.chance.afterstate_value_weight,
            "chance": config.chance.chance_weight,
            "commitment": config.chance.commitment_weight,
        }
        total += weights[b] * sum(scales[name] * losses[name] for name in losses) / B
        parts.append({name: weights[b] * loss for name, loss in losses.items()})
    means = {name: np.mean([part[name] for part in parts]) for name in parts[0]}
    return total, priorities, means


def test_loss_and_priorities_equal_the_slow_ones():
    networks, params = build()
    sample, key = make_sample(), jax.random.PRNGKey(3)
    # In absorbing states any action and any outcome will do; these are those of the key.
    action_key, code_key = jax.random.split(key)
    random_actions = np.asarray(jax.random.randint(action_key, (B, K + 1), 0, A))
    random_codes = np.asarray(jax.random.randint(code_key, (B, K), 0, M))
    expected, priorities, parts = slow_loss(networks, params, sample, random_actions, random_codes)
    loss, extra = jax.jit(make_loss(networks, CONFIG))(
        params, params, sample._replace(keys=()), key
    )
    np.testing.assert_allclose(loss, expected, rtol=2e-4)
    np.testing.assert_allclose(extra.priorities, priorities, rtol=2e-3, atol=2e-3)
    for name, part in parts.items():
        np.testing.assert_allclose(extra.metrics[f"{name}_loss"], part, rtol=2e-4, err_msg=name)
    assert extra.metrics.keys() >= {"values_outside_bins", "rewards_outside_bins"}


def gradient_norms(**weights):
    """Norm of the gradient of each network, with these weights and no other."""
    loss = dict.fromkeys(("policy_weight", "value_weight", "reward_weight"), 0.0)
    chance = dict.fromkeys(("afterstate_value_weight", "chance_weight", "commitment_weight"), 0.0)
    for name, weight in weights.items():
        (loss if name in loss else chance)[name] = weight
    config = dataclasses.replace(
        CONFIG,
        loss=dataclasses.replace(CONFIG.loss, **loss),
        chance=dataclasses.replace(CONFIG.chance, **chance),
    )
    networks, params = build()
    gradients = jax.jit(jax.grad(make_loss(networks, config), has_aux=True))(
        params, params, make_sample()._replace(keys=()), jax.random.PRNGKey(0)
    )[0]
    norms = {}
    for name, leaves in gradients.items():
        part = name.split("/")[0]
        norms[part] = norms.get(part, 0.0) + sum(float(np.abs(x).sum()) for x in leaves.values())
    return norms


@pytest.mark.slow
def test_gradients_pass_the_codes_straight_into_the_encoder():
    # What follows an outcome depends on its code.
    norms = gradient_norms(reward_weight=1.0)
    assert norms["encoder"] > 1e-3
    assert norms["representation"] > 0 and norms["afterstate_dynamics"] > 0
    assert norms["afterstate_prediction"] == 0
    norms = gradient_norms(value_weight=1.0)
    assert norms["encoder"] > 1e-3 and norms["afterstate_prediction"] == 0


@pytest.mark.slow
def test_what_is_foreseen_does_not_change_the_codes():
    norms = gradient_norms(chance_weight=1.0)
    assert norms["afterstate_prediction"] > 0 and norms["afterstate_dynamics"] > 0
    # The afterstates of later steps have earlier outcomes behind them, and pass gradient to
    # their codes; the first step alone has none.
    networks, params = build()
    inputs = make_sample().rows.observation[:, :2].repeat(2, axis=-1)

    def first_step(params):
        codes = make_codes(networks, params, inputs, jnp.ones((B, 1)), jax.random.PRNGKey(0))
        return jnp.sum(codes.targets * jnp.arange(M))

    gradients = jax.jit(jax.grad(first_step))(params)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradients))


@pytest.mark.slow
def test_commitment_reaches_the_encoder_alone():
    norms = gradient_norms(commitment_weight=1.0)
    assert norms.pop("encoder") > 0
    assert not any(norms.values())


def test_codes_are_one_hot_and_pass_gradients():
    encoding = jnp.array([[0.3, -2.0, 0.7], [5.0, 5.5, -1.0]])
    np.testing.assert_array_equal(straight_through(encoding), [[0, 0, 1], [0, 1, 0]])
    weights = jnp.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    gradient = jax.grad(lambda x: jnp.sum(weights * straight_through(x)))(encoding)
    np.testing.assert_array_equal(gradient, weights)


def test_codes_follow_the_action_by_one_row():
    """The code of action `k` is that of row `k + 1`, the final observation included."""
    networks, params = build()
    sample = make_sample()
    truncated, ended = 3, F - 1 + 1
    changed = jax.tree.map(np.copy, sample.rows)
    # Behind the final observation nothing is looked at.
    changed.observation[truncated, ended + 1 :] = 9.0
    loss = jax.jit(make_loss(networks, CONFIG))
    key = jax.random.PRNGKey(0)

    def run(rows):
        return loss(params, params, sample._replace(keys=(), rows=rows), key)[1].metrics

    before = run(sample.rows)
    assert float(before["loss"]) == float(run(changed)["loss"])
    # The final observation itself has a code.
    changed.observation[truncated, ended] += 3.0
    assert float(before["commitment_loss"]) != float(run(changed)["commitment_loss"])


@pytest.mark.parametrize("num_actions", [pytest.param(2, marks=pytest.mark.slow), 7])
def test_the_codebook_does_not_depend_on_the_number_of_actions(num_actions):
    spec = SPEC._replace(actions=specs.DiscreteArray(num_actions))
    networks = StochasticMuZeroBuilder(CONFIG).make_networks(spec)
    params = networks.init(jax.random.PRNGKey(0))
    inputs = np.zeros((4, 3 * F), np.float32)
    assert networks.encoder(params, inputs, inputs).shape == (4, M)
    state = networks.representation(params, inputs)
    afterstate = networks.afterstate_dynamics(params, state, np.zeros(4, np.int32))
    assert networks.afterstate_prediction(params, afterstate).chance_logits.shape == (4, M)
    assert networks.prediction(params, state).policy_logits.shape == (4, num_actions)


def test_metrics_of_a_hand_made_codebook():
    codes = np.eye(4)[[[0, 0], [1, 3]]]
    acted = np.array([[1.0, 1.0], [1.0, 0.0]])
    # Two of three codes are 0 and one is 1; where nothing was done, 3 does not count.
    logits = np.log(np.array([[[0.7, 0.1, 0.1, 0.1]] * 2, [[0.4, 0.3, 0.2, 0.1]] * 2]))
    metrics = chance_metrics(jnp.asarray(logits), jnp.asarray(codes), jnp.asarray(acted))
    usage = np.array([2 / 3, 1 / 3])
    np.testing.assert_allclose(
        metrics["codebook_perplexity"], np.exp(-np.sum(usage * np.log(usage))), rtol=1e-5
    )
    np.testing.assert_allclose(metrics["chance_agreement"], 2 / 3, rtol=1e-5)
    np.testing.assert_allclose(metrics["code_probability"], (0.7 + 0.7 + 0.3) / 3, rtol=1e-5)
