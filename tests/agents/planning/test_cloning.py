"""Behaviour cloning: the policy loss on stored actions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.agents.alphazero.config import AlphaZeroConfig, AlphaZeroNetworkConfig
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.cloning import CloningConfig, PolicyWeights, policy_weights
from mukoe.agents.planning.config import UnrollLossConfig
from mukoe.agents.planning.losses import cloning_metrics, policy_losses
from mukoe.agents.planning.masks import UnrollMasks
from mukoe.agents.planning.targets import UnrollTargets
from mukoe.agents.stochastic_muzero.config import StochasticMuZeroConfig
from mukoe.environments.pgx.rules import load_rules
from mukoe.networks.action_space import DiscreteSpace, ProductSpace
from mukoe.networks.config import NetworkConfig
from mukoe.networks.distributions import GaussianConfig
from mukoe.replay.declaration import row_spec
from mukoe.types import Row, Sample
from tests.agents.planning.test_losses import SPEC

A, B, STATES = 3, 4, 2
SPACE = DiscreteSpace(A)
KEY = jax.random.PRNGKey(0)
DEMONSTRATED = np.float32([1, 0, 1, 0])
SMALL = {
    "network": NetworkConfig(hidden_sizes=(4,), width=4, head_sizes=(4,)),
    "loss": UnrollLossConfig(unroll_steps=1, td_steps=1),
}
AGENTS = [
    MuZeroConfig(**SMALL),
    StochasticMuZeroConfig(**SMALL),
    AlphaZeroConfig("tic_tac_toe", network=AlphaZeroNetworkConfig(width=4, blocks=1)),
]


def unroll_targets(weights):
    random = np.random.default_rng(0)
    known = np.ones((B, STATES), np.float32)
    return UnrollTargets(
        policies=random.dirichlet(np.ones(A), (B, STATES)).astype(np.float32),
        values=np.zeros((B, STATES)),
        rewards=np.zeros((B, STATES)),
        actions=np.int32([[0, 1], [2, 0], [1, 2], [1, 1]]),
        masks=UnrollMasks(acted=known, known=known),
        policy_weights=weights,
    )


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


@pytest.mark.parametrize("mode, search", [("none", 1), ("beside", 1), ("alone", 0)])
@pytest.mark.parametrize("step", range(STATES))
def test_loss_and_gradient_are_those_of_numpy(mode, search, step):
    sample = Sample((), (), (), demonstrated=DEMONSTRATED)
    targets = unroll_targets(policy_weights(CloningConfig(mode, weight=0.3), sample))
    logits = np.random.default_rng(1).normal(size=(B, A)).astype(np.float32)
    probs = softmax(logits.astype(np.float64))
    loss, gradient = np.zeros(B), np.zeros((B, A))
    for entry in range(B):
        is_cloned = bool(DEMONSTRATED[entry]) and mode != "none"
        target = targets.policies[entry, step] * (search if is_cloned else 1)
        if is_cloned:
            target = target + 0.3 * (np.arange(A) == targets.actions[entry, step])
        loss[entry] = -np.sum(target * np.log(probs[entry]))
        gradient[entry] = target.sum() * probs[entry] - target
    np.testing.assert_allclose(
        policy_losses(SPACE, UnrollLossConfig(), logits, targets, step), loss, rtol=1e-5
    )
    found = jax.grad(lambda x: jnp.sum(policy_losses(SPACE, UnrollLossConfig(), x, targets, step)))(
        jnp.asarray(logits)
    )
    np.testing.assert_allclose(found, gradient, atol=1e-6)


def test_metrics_are_means_over_cloned_actions():
    targets = unroll_targets(PolicyWeights(np.ones(B), np.float32([2.0, 0.0, 2.0, 0.0])))
    logits = np.float32([[9, 0, 0], [9, 0, 0], [9, 0, 0], [9, 0, 0]])
    metrics = cloning_metrics(SPACE, logits, targets)
    assert metrics["cloning_agreement"] == 0.5
    log_probs = np.log(softmax(logits.astype(np.float64)))
    np.testing.assert_allclose(
        metrics["cloning_loss"], -(log_probs[0, 0] + log_probs[2, 1]) / 2, rtol=1e-5
    )
    assert cloning_metrics(SPACE, logits, targets._replace(policy_weights=None)) == {}


def test_an_action_of_several_parts_agrees_if_all_of_them_do():
    space = ProductSpace((2, 3), GaussianConfig())
    actions = np.float32([[1, 2], [1, 0], [0, 2], [1, 2]])[:, None]
    targets = unroll_targets(PolicyWeights(np.ones(B), np.float32([1.0, 1.0, 1.0, 0.0])))
    outputs = np.tile(np.float32([0, 9, 0, 0, 9]), (B, 1))
    metrics = cloning_metrics(space, outputs, targets._replace(actions=actions))
    np.testing.assert_allclose(metrics["cloning_agreement"], 1 / 3, rtol=1e-6)


def make_sample(builder, spec, networks):
    random, declaration = np.random.default_rng(0), builder.replay
    rows = row_spec(spec, builder.make_policy(networks, spec).extras_spec)
    shape = (B, declaration.item_length)
    actions = random.integers(0, spec.actions.num_values, shape).astype(np.int32)
    policies = random.dirichlet(np.ones(spec.actions.num_values), shape).astype(np.float32)
    return Sample(
        keys=(),
        probabilities=np.full(B, 0.25, np.float32),
        rows=Row(
            observation=jax.tree.map(
                lambda one: random.integers(0, 2, (*shape, *one.shape)).astype(one.dtype),
                rows.observation,
            ),
            action=actions,
            reward=np.zeros(shape, np.float32),
            discount=np.ones(shape, np.float32),
            mask=np.ones(shape, np.float32),
            extras={"search_policy": policies, "search_value": np.zeros(shape, np.float32)},
        ),
        learner_steps=np.int32(0),
    )


@pytest.mark.parametrize("config", AGENTS, ids=lambda config: type(config).__name__)
def test_stored_actions_alone_are_search_policies_with_one_action(config):
    is_game = isinstance(config, AlphaZeroConfig)
    spec = load_rules("tic_tac_toe", max_steps=None).with_positions().spec if is_game else SPEC
    plain = config.make_builder()
    networks = plain.make_networks(spec)
    params = networks.init(KEY)
    sample = make_sample(plain, spec, networks)
    rows = sample.rows
    taken = np.eye(spec.actions.num_values, dtype=np.float32)[rows.action]

    alone = dataclasses.replace(config, cloning=CloningConfig("alone")).make_builder()
    gradient = jax.jit(jax.grad(alone.make_loss(networks, spec), has_aux=True))

    def gradients(policies, demonstrated):
        extras = {**rows.extras, "search_policy": policies}
        one = sample._replace(rows=rows._replace(extras=extras), demonstrated=demonstrated)
        return gradient(params, params, one, KEY)

    stored, nothing = rows.extras["search_policy"], np.zeros_like(DEMONSTRATED)
    found, extra = gradients(stored, DEMONSTRATED)
    is_demonstrated = DEMONSTRATED[:, None, None] > 0
    expected, _ = gradients(np.where(is_demonstrated, taken, stored), nothing)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert extra.metrics["cloning_loss"] > 0
    unchanged, _ = gradients(stored, nothing)
    differences = jax.tree.map(lambda one, two: np.abs(one - two).max(), found, unchanged)
    assert max(jax.tree.leaves(differences)) > 1e-4
