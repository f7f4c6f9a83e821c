"""Agents with candidates in a mixed action space: from the policy to rows, loss and reanalysis."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from mukoe.acting.inference.requests import InputCheck
from mukoe.acting.inference.serving import Served
from mukoe.agents.alphazero.config import AlphaZeroConfig
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import UnrollLossConfig
from mukoe.agents.planning.consistency import ConsistencyConfig
from mukoe.agents.stochastic_muzero.config import ChanceConfig, StochasticMuZeroConfig
from mukoe.errors import UserError
from mukoe.learning.reanalysis import ReanalyseConfig, change_metrics
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.networks.value_prefix import ValuePrefixConfig
from mukoe.replay.declaration import row_spec
from mukoe.search.config import SearchConfig
from mukoe.types import EnvironmentSpec, PolicyParams, ProductArray, Sample
from tests.networks.tiny import random_params

B, COUNT, CHOICES = 3, 4, (3, 0, 0)
KEY = jax.random.PRNGKey(0)
SPEC = EnvironmentSpec(
    observations=specs.Array((4,), np.float32),
    actions=ProductArray(CHOICES),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
)

SUPPORT = SupportConfig(-2.0, 2.0, 5)
SETTINGS = {
    "network": NetworkConfig(
        hidden_sizes=(8,), width=8, head_sizes=(8,), value_support=SUPPORT, reward_support=SUPPORT
    ),
    "history": HistoryConfig(frames=2),
    "search": SearchConfig(algorithm="gumbel", num_candidates=COUNT, num_simulations=4),
    "loss": UnrollLossConfig(unroll_steps=1, td_steps=2, td_lambda=0.5),
}
AGENTS = {
    "muzero": MuZeroConfig(
        **SETTINGS,
        consistency=ConsistencyConfig(weight=1.0, projection_size=8, predictor_size=8),
        value_prefix=ValuePrefixConfig(lstm_size=8),
        reanalyse=ReanalyseConfig(mode="learner", fraction=1.0),
    ),
    "stochastic muzero": StochasticMuZeroConfig(**SETTINGS, chance=ChanceConfig(codebook_size=3)),
}


@functools.cache
def build(agent):
    builder = AGENTS[agent].make_builder()
    networks = builder.make_networks(SPEC)
    # Not the zeros of fresh heads, whose losses do not depend on their targets.
    return builder, networks, random_params(networks.init, noise=0.3)


# Candidates enter both agents by the same functions, so one of them is a slow test.
VARIANTS = ["muzero", pytest.param("stochastic muzero", marks=pytest.mark.slow)]


@pytest.fixture(params=VARIANTS)
def built(request):
    return build(request.param)


def make_sample(builder, networks, length=None):
    """A batch of random rows with history, as the policy stores them."""
    random, length = np.random.default_rng(0), length or builder.replay.item_length
    spec = row_spec(SPEC, builder.make_policy(networks, SPEC).extras_spec)
    rows = jax.tree.map(
        lambda array: random.normal(size=(B, length, *array.shape)).astype(array.dtype), spec
    )
    draws = networks.action_space.uniform
    policies = random.dirichlet(np.ones(COUNT), (B, length)).astype(np.float32)
    extras = {
        **rows.extras,
        "search_policy": policies,
        "search_candidates": np.asarray(draws(KEY, (B, length, COUNT))),
        "learner_steps": np.zeros((B, length), np.int32),
    }
    ones = np.ones((B, length), np.float32)
    action = np.asarray(draws(KEY, (B, length)))
    rows = rows._replace(action=action, discount=ones, mask=ones, extras=extras)
    return Sample((), np.full(B, 0.5, np.float32), rows, np.int32(0))


def test_the_policy_stores_its_candidates(built):
    builder, networks, params = built
    policy = builder.make_policy(networks, SPEC)
    observation = jnp.ones((B, 4))
    action, extras, state = jax.jit(policy.apply)(
        PolicyParams(params, jnp.int32(0)), KEY, observation, policy.initial_state(B)
    )
    for name, spec in policy.extras_spec.items():
        assert extras[name].shape == (B, *spec.shape) and extras[name].dtype == spec.dtype, name
    candidates = np.asarray(extras["search_candidates"])
    assert candidates.shape == (B, COUNT, 3)
    assert (candidates == np.asarray(action)[:, None]).all(-1).any(-1).all()
    assert set(np.unique(candidates[..., 0])) <= {0.0, 1.0, 2.0}
    np.testing.assert_array_equal(state.actions[:, -1], action)


def test_an_inference_server_takes_the_actions_of_split_policies():
    builder, networks, params = build("muzero")
    policy, policy_params = builder.make_policy(networks, SPEC), PolicyParams(params, jnp.int32(0))
    check = InputCheck(SPEC.observations, policy.split.action_spec)
    first, previous = np.zeros(B, bool), np.full((B, 3), 0.5, np.float32)
    leaves = check("actor", B, [np.ones((B, 4), np.float32)], first, previous)
    served = Served(policy, SPEC.observations, split=True)
    memory = served.initial_memory(B)
    serve = jax.jit(served.serve)
    root, (state, _) = serve(policy_params, KEY, 0, leaves, first, np.arange(B), memory)
    np.testing.assert_array_equal(state.actions[:, -1], previous)
    action, extras = jax.jit(policy.split.search)(policy_params, KEY, root, None)
    assert action.shape == (B, 3) and extras["search_candidates"].shape == (B, COUNT, 3)
    with pytest.raises(UserError, match="previous_action .*, expected float32.3,3."):
        check("actor", B, [np.ones((B, 4), np.float32)], first, np.zeros(B, np.int32))


def test_loss_and_reanalysis_of_candidates(built):
    builder, networks, params = built
    sample = make_sample(builder, networks)
    loss = builder.make_loss(networks, SPEC)
    gradient, extra = jax.jit(jax.grad(loss, has_aux=True))(params, params, sample, KEY)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradient, extra)))
    heads = [name for name in gradient if "policy_head" in name]
    assert heads and any(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient[heads[-1]]))

    windows = jax.tree.map(lambda x: x[:, :2], sample.rows)
    reanalyse = jax.jit(builder.make_reanalyse(networks, SPEC))
    new = reanalyse(PolicyParams(params, jnp.int32(0)), KEY, windows)
    logged = np.asarray(windows.action)[:, 1, None]
    assert (np.asarray(new["search_candidates"]) == logged).all(-1).any(-1).all()
    np.testing.assert_allclose(new["search_policy"].sum(-1), 1.0, atol=1e-5)
    # The policies are over different candidates: there is no divergence between them.
    assert set(change_metrics(windows, new)) == {"reanalyse_value_change"}


def test_calls_of_the_network_can_be_timed(built):
    builder, networks, params = built
    calls = builder.make_network_calls(networks, SPEC)
    total = jax.jit(calls)(PolicyParams(params, jnp.int32(0)), jnp.ones((B, 4)))
    assert total.shape == (B,) and np.isfinite(total).all()


OTHER_SETTINGS = {
    "unroll_steps": 2,
    "td_steps": 3,
    "value_target": "n_step",
    "td_lambda": 0.9,
    "bootstrap": "target",
    "max_age": 1,
    "search_value_age": 1,
    "policy_weight": 2.0,
    "value_weight": 2.0,
    "reward_weight": 2.0,
    "policy_target": "best",
    "entropy_weight": 0.5,
}


@pytest.mark.parametrize("agent", VARIANTS)
def test_every_setting_of_the_loss_changes_it(agent):
    assert set(OTHER_SETTINGS) == {field.name for field in dataclasses.fields(UnrollLossConfig)}
    builder, networks, params = build(agent)
    sample = make_sample(builder, networks, length=8)._replace(learner_steps=np.int32(3))

    def loss(**settings):
        config = dataclasses.replace(
            AGENTS[agent],
            loss=dataclasses.replace(AGENTS[agent].loss, **settings),
            consistency=ConsistencyConfig(),
            reanalyse=ReanalyseConfig(),
        )
        builder = config.make_builder()
        rows = jax.tree.map(lambda array: array[:, : builder.replay.item_length], sample.rows)
        return float(
            builder.make_loss(networks, SPEC)(params, params, sample._replace(rows=rows), KEY)[0]
        )

    expected = loss()
    assert [
        name for name, value in OTHER_SETTINGS.items() if loss(**{name: value}) == expected
    ] == []


def test_alphazero_refuses_candidates_in_one_line():
    with pytest.raises(UserError, match="^search.num_candidates must be 0 for this agent.*$"):
        AlphaZeroConfig("tic_tac_toe", search=SearchConfig(num_candidates=4))
