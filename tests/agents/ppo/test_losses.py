"""PPO's batch and loss against loops in NumPy."""

import dataclasses

import jax
import numpy as np
import pytest
from dm_env import specs

from mukoe.agents.ppo.config import PPOConfig, PPOLossConfig, PPONetworkConfig
from mukoe.agents.ppo.losses import PPOBatch, make_loss, make_prepare
from mukoe.agents.ppo.networks import make_ppo_networks
from mukoe.errors import UserError
from mukoe.networks.action_space import DiscreteSpace, ProductSpace
from mukoe.networks.history import HistoryConfig
from mukoe.types import EnvironmentSpec, MaskedObservation, ProductArray, Row, Sample

ACTIONS, BATCH, STEPS = 3, 2, 4


def make_spec(continuous=False, masked=False):
    features = specs.Array((2,), np.float32)
    legal = specs.BoundedArray((ACTIONS,), bool, False, True)
    actions = (
        specs.BoundedArray((2,), np.float32, -1.0, 1.0)
        if continuous
        else specs.DiscreteArray(ACTIONS, np.int32)
    )
    return EnvironmentSpec(
        observations=MaskedObservation(features, legal) if masked else features,
        actions=actions,
        rewards=specs.Array((), np.float32),
        discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
    )


def build(spec, frames=1, **loss):
    config = PPOConfig(
        network=PPONetworkConfig(hidden_sizes=(4,)),
        history=HistoryConfig(frames=frames),
        loss=PPOLossConfig(**loss),
        rollout_steps=STEPS,
    )
    networks = make_ppo_networks(spec, config.history, config.network)
    params = networks.init(jax.random.PRNGKey(1))
    return (
        config,
        networks,
        jax.tree.map(lambda x: x + 0.3 * np.sin(np.arange(x.size)).reshape(x.shape), params),
    )


def make_batch(spec, masked=False, seed=0):
    random = np.random.default_rng(seed)
    continuous = isinstance(spec.actions, specs.BoundedArray) and spec.actions.shape
    action = (
        random.normal(size=(BATCH, STEPS, 2)).astype(np.float32)
        if continuous
        else random.integers(0, ACTIONS - 1, (BATCH, STEPS)).astype(np.int32)
    )
    legal = np.ones((BATCH, STEPS, ACTIONS), bool)
    legal[..., -1] = random.random((BATCH, STEPS)) > 0.5

    def numbers(scale=1.0):
        return (scale * random.normal(size=(BATCH, STEPS))).astype(np.float32)

    return PPOBatch(
        inputs=random.normal(size=(BATCH, STEPS, 2)).astype(np.float32),
        legal_actions=legal if masked else None,
        action=action,
        log_prob=numbers(0.3) - 1.2,
        value=numbers(),
        advantage=numbers(),
        mask=np.array([[1, 1, 0, 1], [1, 0, 1, 1]], np.float32),
    )


def slow_loss(networks, params, batch, config):
    """Step by step, from the paper and the 37 details."""
    advantages = [batch.advantage[i, t] for i, t in zip(*np.nonzero(batch.mask), strict=True)]
    mean, std = np.mean(advantages), np.std(advantages)
    policy_losses, value_losses, entropies = [], [], []
    for i, t in zip(*np.nonzero(batch.mask), strict=True):
        outputs, value = networks.apply(params, batch.inputs[i, t][None])
        outputs, value = np.asarray(outputs, np.float64)[0], float(value[0])
        log_prob, entropy = policy_numbers(networks, outputs, batch, i, t)
        ratio = np.exp(log_prob - batch.log_prob[i, t])
        advantage = batch.advantage[i, t]
        target = batch.value[i, t] + advantage
        if config.normalize_advantages:
            advantage = (advantage - mean) / (std + 1e-8)
        limited = min(max(ratio, 1 - config.clip_epsilon), 1 + config.clip_epsilon)
        policy_losses.append(max(-ratio * advantage, -limited * advantage))
        old = batch.value[i, t]
        near = old + min(max(value - old, -config.clip_epsilon), config.clip_epsilon)
        errors = [(value - target) ** 2] + [(near - target) ** 2] * config.clip_values
        value_losses.append(0.5 * max(errors))
        entropies.append(entropy)
    return (
        np.mean(policy_losses)
        + config.value_weight * np.mean(value_losses)
        - config.entropy_weight * np.mean(entropies)
    )


def policy_numbers(networks, outputs, batch, i, t):
    """The log-probability of the action that was taken, and the policy's entropy."""
    action = batch.action[i, t]
    if isinstance(networks.action_space, DiscreteSpace):
        if batch.legal_actions is not None:
            outputs = outputs[batch.legal_actions[i, t]]
        probs = np.exp(outputs - outputs.max()) / np.exp(outputs - outputs.max()).sum()
        return np.log(probs[action]), -np.sum(probs * np.log(probs))
    if isinstance(networks.action_space, ProductSpace):
        logits, outputs = outputs[:ACTIONS], outputs[ACTIONS:]
        probs = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        log_prob, entropy = gaussian_numbers(networks, outputs, action[1:])
        return log_prob + np.log(probs[int(action[0])]), entropy - np.sum(probs * np.log(probs))
    return gaussian_numbers(networks, outputs, action)


def gaussian_numbers(networks, outputs, action):
    gaussian = networks.action_space.gaussian
    low, start = gaussian.minimum_std, gaussian.initial_std
    mean = np.tanh(outputs[:2])
    std = low + (start - low) * np.log1p(np.exp(outputs[2:])) / np.log(2)
    density = np.exp(-((action - mean) ** 2) / (2 * std**2)) / np.sqrt(2 * np.pi * std**2)
    return np.log(density).sum(), np.log(np.sqrt(2 * np.pi * np.e) * std).sum()


CASES = [
    {},
    {"clip_values": False, "normalize_advantages": False},
    {"clip_epsilon": 0.01, "entropy_weight": 0.3, "value_weight": 2.0},
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["discrete", "masked", "continuous", "several parts"])
def test_the_whole_loss(kind, case):
    spec = make_spec(continuous=kind == "continuous", masked=kind == "masked")
    if kind == "several parts":
        spec = spec._replace(actions=ProductArray((ACTIONS, 0, 0)))
    config, networks, params = build(spec, **case)
    batch = make_batch(spec, masked=kind == "masked")
    if kind == "several parts":
        choice = np.random.default_rng(1).integers(0, ACTIONS, (BATCH, STEPS, 1))
        action = np.concatenate([choice, batch.action], axis=-1).astype(np.float32)
        batch = batch._replace(action=action, log_prob=batch.log_prob - 1.0)
    got, extra = jax.jit(make_loss(networks, config.loss))(params, params, batch, None)
    np.testing.assert_allclose(got, slow_loss(networks, params, batch, config.loss), rtol=2e-4)
    assert extra.priorities is None
    assert 0 <= float(extra.metrics["clipped"]) <= 1


def test_steps_without_an_action_change_nothing():
    spec = make_spec()
    config, networks, params = build(spec)
    batch = make_batch(spec)
    junk = np.where(batch.mask == 0, 1e3, 0).astype(np.float32)
    other = batch._replace(advantage=batch.advantage + junk, value=batch.value - junk)
    loss = jax.jit(jax.value_and_grad(make_loss(networks, config.loss), has_aux=True))
    (first, _), gradients = loss(params, params, batch, None)
    (second, _), others = loss(params, params, other, None)
    np.testing.assert_allclose(first, second, rtol=1e-5)
    for left, right in zip(jax.tree.leaves(gradients), jax.tree.leaves(others), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)


def make_rows(history, length, seed=0):
    random = np.random.default_rng(seed)
    shape = (1, history + length + 1)
    mask = np.array([[1] * (history + 2) + [0] + [1] * (length - 3) + [0]], np.float32)

    def numbers():
        return random.normal(size=shape).astype(np.float32)

    return Row(
        observation=random.normal(size=(*shape, 2)).astype(np.float32),
        action=np.zeros(shape, np.int32),
        reward=mask * numbers(),
        discount=mask,
        mask=mask,
        extras={"log_prob": numbers(), "value": numbers()},
    )


def test_a_rollout_becomes_a_batch():
    """Truncated at the second step; the value behind the last row is the network's own."""
    config, networks, params = build(make_spec(), frames=2, reward_scale=2.0)
    rows = make_rows(history=1, length=STEPS)
    batch = make_prepare(networks, config)(params, Sample((), np.ones(1, np.float32), rows))
    frames = rows.observation[0]
    blank = np.zeros(2)
    expected = [[0, 1], [1, 2], [2, 3], [None, 4]]
    for t, (past, now) in enumerate(expected):
        past = blank if past is None else frames[past]
        np.testing.assert_array_equal(batch.inputs[0, t], np.concatenate([past, frames[now]]))
    _, last = networks.apply(params, np.concatenate([frames[4], frames[5]])[None])
    values = np.append(rows.extras["value"][0, 1:5], last)
    error = 2 * rows.reward[0, 4] + 0.99 * values[4] - values[3]
    np.testing.assert_allclose(batch.advantage[0, 3], error, rtol=1e-5)
    error = 2 * rows.reward[0, 2] + 0.99 * values[2] - values[1]
    np.testing.assert_allclose(batch.advantage[0, 1], error, rtol=1e-5)
    np.testing.assert_array_equal(batch.mask[0], [1, 1, 0, 1])
    np.testing.assert_array_equal(batch.value[0], rows.extras["value"][0, 1:5])


def test_bad_configs_are_refused():
    for change, expected in (
        ({"minibatches": 3}, "multiple"),
        ({"epochs": 0}, "epochs"),
        ({"optimizer": dataclasses.replace(PPOConfig().optimizer, schedule="cosine")}, "anneal"),
    ):
        with pytest.raises(UserError, match=expected):
            PPOConfig(**change)
    with pytest.raises(UserError, match="torso"):
        PPONetworkConfig(torso="huge")
    with pytest.raises(UserError, match="images"):
        config = PPONetworkConfig(torso="nature")
        make_ppo_networks(make_spec(), HistoryConfig(), config)


def test_weights_begin_orthogonal_and_the_policy_nearly_uniform():
    networks = make_ppo_networks(make_spec(), HistoryConfig(), PPONetworkConfig())
    params = networks.init(jax.random.PRNGKey(0))
    scales = {"policy_0": 2**0.5, "value_1": 2**0.5, "policy_head": 0.01, "value_head": 1.0}
    for name, scale in scales.items():
        (module,) = (module for module in params if module.endswith(f"/{name}"))
        weights = np.asarray(params[module]["w"])
        np.testing.assert_allclose(np.linalg.svd(weights, compute_uv=False), scale, rtol=1e-4)
    inputs = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    outputs, _ = networks.apply(params, inputs)
    assert np.abs(jax.nn.softmax(outputs) - 1 / ACTIONS).max() < 0.02


@pytest.mark.parametrize("torso, size", [("nature", 35), ("impala", 31), ("small", 31)])
def test_images_below_the_least_size_are_refused(torso, size):
    images = specs.BoundedArray((size, 64, 3), np.uint8, 0, 255)
    with pytest.raises(UserError, match=f"at least {size + 1}x{size + 1}, not {size}x64"):
        make_ppo_networks(
            make_spec()._replace(observations=images), HistoryConfig(), PPONetworkConfig(torso)
        )
