"""Running statistics of observations: against NumPy, and beside the other parameters."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from dm_env import specs

from mukoe.agents.muesli.config import MuesliConfig
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.ppo.config import PPOConfig
from mukoe.agents.stochastic_muzero.config import StochasticMuZeroConfig
from mukoe.errors import UserError
from mukoe.learning.optimizers import OptimizerConfig, make_optimizer
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.models import make_muzero_networks
from mukoe.networks.observation_statistics import add_batch, keep_statistics, statistics_loss
from mukoe.networks.value_encoding import SupportConfig
from tests.networks.tiny import spec_of

SUPPORT = SupportConfig(-2.0, 2.0, 5)
CONFIG = NetworkConfig(
    hidden_sizes=(8,), width=8, head_sizes=(8,), value_support=SUPPORT, reward_support=SUPPORT
)
NORMALIZED = dataclasses.replace(CONFIG, normalize_observations=True)
STATISTICS = "representation/observation_statistics"
SCALE, SHIFT = np.float32([1.0, 200.0, 0.01]), np.float32([0.0, -1000.0, 3.0])


def make(config, shape=(3,)):
    networks = make_muzero_networks(
        spec_of(specs.Array(shape, np.float32), 2), HistoryConfig(), config
    )
    return networks, networks.init(jax.random.PRNGKey(0))


def test_statistics_are_those_of_the_batches_and_touch_nothing_else():
    networks, params = make(NORMALIZED)
    optimizer = keep_statistics(make_optimizer(OptimizerConfig(weight_decay=0.1)))
    plain = make_optimizer(OptimizerConfig(weight_decay=0.1))
    others = {name: module for name, module in params.items() if name != STATISTICS}
    assert len(others) == len(params) - 1

    def loss(params, inputs, with_statistics):
        state = networks.representation(params, inputs)
        total = jnp.mean(state**2)
        return total + statistics_loss(params, inputs) if with_statistics else total

    @jax.jit
    def update(params, state, others, others_state, inputs):
        value, gradient = jax.value_and_grad(loss)(params, inputs, True)
        updates, state = optimizer.update(gradient, state, params)
        kept = {STATISTICS: params[STATISTICS]}
        plain_value, gradient = jax.value_and_grad(loss)({**others, **kept}, inputs, False)
        gradient.pop(STATISTICS)
        changes, others_state = plain.update(gradient, others_state, others)
        params, others = optax.apply_updates(params, updates), optax.apply_updates(others, changes)
        return params, state, others, others_state, value, plain_value

    random, seen = np.random.default_rng(0), []
    state, others_state = optimizer.init(params), plain.init(others)
    for _ in range(100):
        inputs = random.normal(size=(64, 3)).astype(np.float32) * SCALE + SHIFT
        seen.append(inputs)
        params, state, others, others_state, value, plain_value = update(
            params, state, others, others_state, inputs
        )
        assert float(value) == pytest.approx(float(plain_value), rel=1e-5)
    seen = np.concatenate(seen)
    np.testing.assert_allclose(params[STATISTICS]["mean"], seen.mean(axis=0), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(params[STATISTICS]["variance"], seen.var(axis=0), rtol=0.03)
    for name, module in others.items():
        for parameter, value in module.items():
            np.testing.assert_allclose(params[name][parameter], value, rtol=1e-4, atol=1e-6)


def test_states_do_not_depend_on_the_units_of_observations():
    networks, params = make(NORMALIZED)
    inputs = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    statistics = {"mean": jnp.asarray(SHIFT), "variance": jnp.asarray(SCALE**2)}
    expected = networks.representation(params, inputs)
    scaled = networks.representation({**params, STATISTICS: statistics}, inputs * SCALE + SHIFT)
    np.testing.assert_allclose(scaled, expected, atol=1e-3)


def test_statistics_are_those_of_the_scaled_bytes_that_the_network_reads():
    networks, params = make(NORMALIZED)
    inputs = np.random.default_rng(0).integers(0, 256, (64, 3)).astype(np.uint8)
    gradient = jax.grad(statistics_loss)(params, inputs)[STATISTICS]
    np.testing.assert_allclose(gradient["mean"], -np.mean(inputs / 255, axis=0), rtol=1e-5)
    after = add_batch(params, inputs, np.ones(64, np.float32), np.int32(0))[STATISTICS]
    np.testing.assert_allclose(after["mean"], np.mean(inputs / 255, axis=0), rtol=1e-5)
    np.testing.assert_allclose(after["variance"], np.var(inputs / 255, axis=0), rtol=1e-4)


@pytest.mark.parametrize(
    "observations, torso, kind",
    [
        (specs.Array((64, 64, 3), np.float32), "impala", "of shape .64, 64, 3."),
        ({"a": specs.Array((2,), np.float32), "b": specs.Array((3,), np.float32)}, "mlp", "of sev"),
    ],
)
@pytest.mark.parametrize("agent", [MuZeroConfig, StochasticMuZeroConfig, MuesliConfig, PPOConfig])
def test_only_vectors_are_normalised(agent, observations, torso, kind):
    config = agent()
    network = dataclasses.replace(config.network, torso=torso, normalize_observations=True)
    builder = dataclasses.replace(config, network=network).make_builder()
    with pytest.raises(UserError, match="observations .*, not " + kind):
        builder.make_networks(spec_of(observations, 2))
