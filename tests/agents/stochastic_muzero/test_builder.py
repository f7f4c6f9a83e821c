"""Stochastic MuZero put together: it acts, stores, samples and learns in one process."""

import functools

import jax
import numpy as np
import pytest
from dm_env import specs

from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.stochastic_muzero.config import ChanceConfig, StochasticMuZeroConfig
from mukoe.environments.coin_flip import CoinFlipConfig
from mukoe.errors import UserError
from mukoe.layouts import local
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.search.config import SearchConfig
from mukoe.types import EnvironmentSpec, PolicyParams
from mukoe.viewing.search_tree import from_mctx

CONFIG = TrainingConfig(
    environment=CoinFlipConfig(),
    agent=StochasticMuZeroConfig(
        network=NetworkConfig(hidden_sizes=(8,), width=8, head_sizes=(8,)),
        history=HistoryConfig(frames=2),
        search=SearchConfig(algorithm="gumbel", num_simulations=6),
        loss=UnrollLossConfig(unroll_steps=2, td_steps=2, td_lambda=0.5),
        chance=ChanceConfig(codebook_size=3),
        replay=PlanningReplayConfig(min_size=16, batch_size=8, samples_per_insert=4.0),
    ),
    run=RunConfig(max_actor_steps=120, envs_per_actor=4, evaluation_episodes=2),
)


def test_it_trains_in_one_process(tmp_path):
    experiment = CONFIG.make_experiment()
    run = local.make_run(experiment, local.check(experiment), tmp_path)
    while not run.ended:
        run.step()
    learner, replay = run.learner, run.replay
    run.close()
    assert learner.steps > 10
    policies = replay.sample().rows.extras["search_policy"]
    # Of actions alone.
    assert policies.shape[-1] == 2
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(learner.save().params))
    log = (tmp_path / "logs" / "learner.csv").read_text().splitlines()[0].split(",")
    assert {"codebook_perplexity", "chance_agreement", "afterstate_value_error"} <= set(log)


def spec_of(shape, dtype=np.float32, num_actions=9):
    return EnvironmentSpec(
        observations=specs.Array(shape, dtype),
        actions=specs.DiscreteArray(num_actions),
        rewards=specs.Array((), np.float32),
        discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
    )


@pytest.mark.parametrize(
    ("network", "spec"),
    [
        (NetworkConfig(torso="mlp"), spec_of((5,))),
        (NetworkConfig(torso="flat"), spec_of((4, 4, 3), np.bool_)),
        (NetworkConfig(torso="board", action_encoding="cell"), spec_of((3, 3, 2), np.bool_)),
        (NetworkConfig(torso="board", action_encoding="column"), spec_of((6, 9, 2))),
        (NetworkConfig(torso="small"), spec_of((32, 32, 1), np.uint8)),
        (NetworkConfig(torso="large"), spec_of((32, 32, 1), np.uint8)),
        (NetworkConfig(torso="impala", hidden_sizes=(4, 4)), spec_of((32, 32, 1), np.uint8)),
    ],
)
def test_every_torso_has_afterstates(network, spec):
    """By shapes alone, which needs no computation."""
    config = StochasticMuZeroConfig(network=network)
    networks = config.make_builder().make_networks(spec)
    inputs = jax.ShapeDtypeStruct((2, *spec.observations.shape), spec.observations.dtype)

    def whole(key, inputs):
        params = networks.init(key)
        state = networks.representation(params, inputs)
        afterstate = networks.afterstate_dynamics(params, state, np.zeros(2, np.int32))
        code = networks.encoder(params, inputs, inputs)
        after, reward_logits = networks.dynamics(params, afterstate, code)
        chance = networks.afterstate_prediction(params, afterstate)
        return state, afterstate, after, code, chance, reward_logits

    state, afterstate, after, code, chance, reward_logits = jax.eval_shape(
        whole, jax.random.PRNGKey(0), inputs
    )
    assert state.shape == afterstate.shape == after.shape
    assert code.shape == chance.chance_logits.shape == (2, 32)
    assert chance.value_logits.shape == reward_logits.shape == (2, 601)


@functools.cache
def initial():
    """Returns builder, spec, networks and first parameters."""
    builder, spec = CONFIG.agent.make_builder(), spec_of((4,), num_actions=2)
    networks = builder.make_networks(spec)
    params = PolicyParams(jax.jit(networks.init)(jax.random.PRNGKey(0)), np.int32(0))
    return builder, spec, networks, params


def test_the_search_needs_neither_representation_nor_encoder():
    builder, spec, networks, params = initial()
    policy = builder.make_policy(networks, spec)
    observation = np.eye(4, dtype=np.float32)[:2]
    state = policy.initial_state(2)
    root, _ = jax.jit(policy.split.represent)(params, observation, state)
    few = policy.split.search_params(params)
    names = {name.split("/")[0] for name in few.network}
    assert "dynamics" in names and not names & {"representation", "encoder"}
    key = jax.random.PRNGKey(1)
    action, extras = jax.jit(policy.split.search)(few, key, root, None)
    whole_action, whole, _ = jax.jit(policy.apply)(params, key, observation, state)
    np.testing.assert_array_equal(action, whole_action)
    np.testing.assert_allclose(extras["search_policy"], whole["search_policy"], rtol=1e-5)
    assert set(np.asarray(action)) <= {0, 1}


def test_what_is_shown_of_a_search_are_the_actions():
    builder, spec, networks, params = initial()
    inspector = builder.make_inspector(networks, spec)
    observation = np.eye(4, dtype=np.float32)[:1]
    state = inspector.initial_state(1)
    output, tree, _ = jax.jit(inspector.inspect)(params, jax.random.PRNGKey(0), observation, state)
    shown = from_mctx(jax.device_get(tree))
    assert shown.num_simulations == 6 and shown.qvalues.shape[1] == 2
    nodes = shown.most_visited(10)
    assert sorted(shown.actions[nodes]) == [-1, 0, 1]
    assert shown.principal_variation(int(output.action[0])) == [int(output.action[0])]


def test_an_lstm_has_no_afterstates():
    with pytest.raises(UserError, match="network.dynamics must be 'residual', not 'lstm'"):
        StochasticMuZeroConfig(network=NetworkConfig(dynamics="lstm"))
