"""Networks in bfloat16 beside the same networks in float32."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from mukoe.agents.planning.deterministic_model.losses import make_loss as make_muzero_loss
from mukoe.agents.ppo.config import PPOLossConfig, PPONetworkConfig
from mukoe.agents.ppo.losses import make_loss as make_ppo_loss
from mukoe.agents.ppo.networks import make_ppo_networks
from mukoe.agents.stochastic_muzero.config import ChanceConfig
from mukoe.agents.stochastic_muzero.networks import make_stochastic_muzero_networks
from mukoe.networks.history import HistoryConfig
from mukoe.networks.models import make_muzero_networks
from mukoe.networks.novelty import make_novelty
from mukoe.types import SequenceArray
from tests.agents.planning.deterministic_model import test_losses as muzero
from tests.agents.ppo import test_losses as ppo
from tests.networks.tiny import TINY, random_params, spec_of

IMAGE = specs.Array((40, 40, 1), np.uint8)


def muzero_loss(precision):
    """Returns the loss as a function of float32 parameters, and these."""
    network = dataclasses.replace(muzero.CONFIG.network, precision=precision)
    config = dataclasses.replace(muzero.CONFIG, network=network)
    networks, params = muzero.build(config)
    sample, key = muzero.make_sample(), jax.random.PRNGKey(0)
    loss = make_muzero_loss(networks, config)
    return lambda params: loss(params, params, sample, key)[0], params


def ppo_loss(precision, torso="tanh_mlp", observations=None):
    spec = ppo.make_spec()
    batch = ppo.make_batch(spec)
    if observations is not None:
        spec = spec._replace(observations=observations)
        shape = (*batch.mask.shape, *observations.shape)
        inputs = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
        batch = batch._replace(inputs=inputs.round() if torso == "entity_transformer" else inputs)
    network = PPONetworkConfig(torso=torso, hidden_sizes=(32,), width=32, precision=precision)
    networks = make_ppo_networks(spec, HistoryConfig(), network)
    params = random_params(networks.init)
    loss = make_ppo_loss(networks, PPOLossConfig())
    return lambda params: loss(params, None, batch, None)[0], params


def loss_of(torso, observations):
    return functools.partial(ppo_loss, torso=torso, observations=observations)


@pytest.mark.parametrize(
    "make",
    [
        muzero_loss,
        ppo_loss,
        pytest.param(
            loss_of("patch_transformer", specs.Array((9, 7, 2), np.float32)), marks=pytest.mark.slow
        ),
        pytest.param(
            loss_of("residual_attention", specs.Array((5, 4, 2), np.float32)),
            marks=pytest.mark.slow,
        ),
        loss_of("entity_transformer", SequenceArray(5, 2)),
    ],
)
def test_the_loss_and_its_gradient_are_those_of_float32(make):
    results = {}
    for precision in ("float32", "bfloat16"):
        loss, params = make(precision)
        results[precision] = jax.jit(jax.value_and_grad(loss))(params)
        program = str(jax.make_jaxpr(loss)(params))
        assert ("bf16" in program) == (precision == "bfloat16")
    (expected, slopes), (loss, gradients) = results["float32"], results["bfloat16"]
    assert loss.dtype == jnp.float32 and 0 < abs(loss - expected) < 0.01 * abs(expected)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradients)} == {jnp.dtype(jnp.float32)}
    left, right = (
        jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])
        for tree in (slopes, gradients)
    )
    assert left @ right > 0.99 * jnp.linalg.norm(left) * jnp.linalg.norm(right)


@pytest.mark.parametrize(
    "torso", ["nature_norm", "small", "board", "patch_transformer", "residual_attention"]
)
@pytest.mark.parametrize("dynamics", ["residual", "lstm"])
def test_layers_compute_in_bfloat16_and_outputs_are_float32(torso, dynamics):
    config = dataclasses.replace(TINY, torso=torso, dynamics=dynamics, precision="bfloat16")
    networks = make_muzero_networks(spec_of(IMAGE), HistoryConfig(), config)
    params = jax.eval_shape(networks.init, jax.random.PRNGKey(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
    inputs = jax.ShapeDtypeStruct((2, 40, 40, 1), np.uint8)

    def both(params, inputs):
        state = networks.representation(params, inputs)
        return state, networks.prediction(params, state), networks.dynamics(params, state, ACTION)

    assert_half(both, params, inputs)


ACTION = np.zeros(2, np.int32)


def assert_half(function, *arguments):
    """All products of matrices and convolutions are of bfloat16, all outputs of float32."""
    outputs = jax.tree.leaves(jax.eval_shape(function, *arguments))
    assert {leaf.dtype for leaf in outputs} == {jnp.dtype(jnp.float32)}
    products = [
        line
        for line in str(jax.make_jaxpr(function)(*arguments)).splitlines()
        if "= dot_general" in line or "= conv_general" in line
    ]
    assert products
    assert all(":bf16" in line for line in products), products


def test_other_networks_compute_in_bfloat16():
    config = dataclasses.replace(TINY, torso="board", precision="bfloat16")
    stochastic = make_stochastic_muzero_networks(
        spec_of(IMAGE), HistoryConfig(), config, ChanceConfig(4)
    )
    params = jax.eval_shape(stochastic.init, jax.random.PRNGKey(0))
    inputs = jax.ShapeDtypeStruct((2, 40, 40, 1), np.uint8)
    assert_half(stochastic.encoder, params, inputs, inputs)
    network = PPONetworkConfig(torso="nature", precision="bfloat16")
    novelty = make_novelty(network, IMAGE, 8)
    params = jax.eval_shape(novelty.init, jax.random.PRNGKey(0))
    assert_half(novelty.error, params, inputs)
    assert_half(novelty.value, params, inputs)


def test_statistics_of_observations_stay_in_float32():
    """A mean of 1,000 in bfloat16 would have an error of 4."""
    spec, states = spec_of(specs.Array((3,), np.float32)), {}
    x = 1_001.0 + np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    for precision in ("float32", "bfloat16"):
        config = dataclasses.replace(TINY, normalize_observations=True, precision=precision)
        networks = make_muzero_networks(spec, HistoryConfig(), config)
        params = random_params(networks.init)
        (name,) = [name for name in params if name.endswith("observation_statistics")]
        params[name] = {"mean": jnp.full(3, 1_001.0), "variance": jnp.ones(3)}
        states[precision] = jax.jit(networks.representation)(params, x)
    np.testing.assert_allclose(*states.values(), atol=0.05)
