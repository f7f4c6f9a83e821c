"""The consistency loss: NumPy, a perfect model, masks, gradients, and its place in an agent."""

import dataclasses
import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.agents.planning.consistency import ConsistencyConfig, consistency_losses
from mukoe.agents.planning.deterministic_model.builder import DeterministicModelBuilder
from mukoe.agents.stochastic_muzero.builder import StochasticMuZeroBuilder
from mukoe.agents.stochastic_muzero.config import StochasticMuZeroConfig
from mukoe.networks.models import below_the_root
from mukoe.networks.projection import Projection
from tests.agents.planning.test_losses import CONFIG, SPEC, K, make_sample

B, D, STEPS = 3, 4, 3
KEY = jax.random.PRNGKey(0)


class Linear(NamedTuple):
    """Networks of one matrix each."""

    init: object = None
    representation: object = lambda params, inputs: inputs @ params["represent"]
    projection: object = Projection(
        project=lambda params, state: state @ params["project"],
        predict=lambda params, projection: projection @ params["predict"],
    )


def random_problem(seed=0):
    random = np.random.default_rng(seed)
    params = {name: random.normal(size=(D, D)) for name in ("represent", "project", "predict")}
    states = random.normal(size=(STEPS, B, D))
    inputs = random.normal(size=(B, STEPS, D))
    return params, list(states), inputs


def distances(params, states, inputs):
    """Returns `1 - cos` `[B, K]`."""
    found = np.zeros((B, STEPS))
    for b, k in itertools.product(range(B), range(STEPS)):
        x = states[k][b] @ params["project"] @ params["predict"]
        y = inputs[b, k] @ params["represent"] @ params["project"]
        found[b, k] = 1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y)
    return found


def test_losses_are_those_of_numpy_and_masked():
    params, states, inputs = random_problem()
    acted = np.array([[1, 1, 1], [1, 1, 0], [0, 0, 0]], np.float32)
    losses = consistency_losses(
        Linear(), params, states, inputs, acted, KEY, ConsistencyConfig(weight=1.0)
    )
    expected = (acted * distances(params, states, inputs)).sum(1) / STEPS
    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-6)


def test_a_perfect_model_has_no_loss():
    params, _, inputs = random_problem()
    params["predict"] = np.eye(D)
    states = [inputs[:, k] @ params["represent"] for k in range(STEPS)]
    losses = consistency_losses(
        Linear(), params, states, inputs, np.ones((B, STEPS)), KEY, ConsistencyConfig(weight=1.0)
    )
    np.testing.assert_allclose(losses, 0, atol=1e-5)


def test_only_the_branch_of_the_model_has_a_gradient():
    params, states, inputs = random_problem()

    def loss(params, states, inputs):
        acted, config = jnp.ones((B, STEPS)), ConsistencyConfig(weight=1.0)
        return consistency_losses(Linear(), params, states, inputs, acted, KEY, config).sum()

    of_params, of_states, of_inputs = jax.grad(loss, argnums=(0, 1, 2))(params, states, inputs)
    assert not np.any(of_params["represent"]) and not np.any(of_inputs)
    assert np.all(np.any(np.asarray(of_states), axis=-1))
    assert np.any(of_params["project"]) and np.any(of_params["predict"])


def test_drawn_steps_are_each_combination():
    params, states, inputs = random_problem()
    acted = np.ones((B, STEPS))
    every = distances(params, states, inputs)
    pairs = list(itertools.combinations(range(STEPS), 2))
    config = ConsistencyConfig(weight=1.0, num_steps=2)
    draw = jax.jit(
        lambda key: consistency_losses(Linear(), params, states, inputs, acted, key, config)
    )
    found = set()
    for seed in range(30):
        losses = np.asarray(draw(jax.random.PRNGKey(seed)))
        for b in range(B):
            means = np.array([every[b, list(pair)].mean() for pair in pairs])
            (index,) = np.flatnonzero(np.isclose(means, losses[b], rtol=1e-4))
            found.add((b, int(index)))
    assert found == set(itertools.product(range(B), range(len(pairs))))


@functools.cache
def agent(name, weight):
    consistency = ConsistencyConfig(weight=weight, projection_size=6, predictor_size=3)
    config = dataclasses.replace(CONFIG, consistency=consistency)
    builder_type = DeterministicModelBuilder
    if name == "stochastic":
        builder_type = StochasticMuZeroBuilder
        config = StochasticMuZeroConfig(
            network=CONFIG.network, loss=CONFIG.loss, consistency=consistency
        )
    builder = builder_type(config)
    networks = builder.make_networks(SPEC)
    params = jax.jit(networks.init)(KEY)
    loss = builder.make_loss(networks, SPEC)
    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    return builder, params, step(params, params, make_sample(), KEY)


@pytest.mark.parametrize("name", ["muzero", pytest.param("stochastic", marks=pytest.mark.slow)])
def test_the_loss_of_an_agent_trains_projector_and_predictor(name):
    builder, params, ((loss, extra), gradients) = agent(name, 2.0)
    _, plain_params, ((plain_loss, plain_extra), _) = agent(name, 0.0)
    assert "consistency_loss" not in plain_extra.metrics
    np.testing.assert_allclose(loss, plain_loss + 2 * extra.metrics["consistency_loss"], rtol=1e-5)
    own = {module for module in params if module not in plain_params}
    assert {module.split("/")[0] for module in own} == {"projector", "predictor"}
    for module in own:
        assert all(np.any(leaf) for leaf in jax.tree.leaves(gradients[module]))
    assert not own & set(builder._search_params(params))
    assert builder.replay.observed_rows == K + 1
    if name == "muzero":
        assert below_the_root(params) == builder._search_params(params)
