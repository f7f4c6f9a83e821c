"""Muesli put together: it acts, stores, samples and learns in one process."""

import dataclasses
import types

import jax
import numpy as np

from mukoe.acting.loop import EnvironmentLoop
from mukoe.acting.runners import LocalRunner
from mukoe.acting.variables import VariableClient
from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig, MuesliReplayConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts import local
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.checkpoint import Checkpointer
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.replay.declaration import row_spec
from mukoe.replay.in_process import InProcessReplay
from mukoe.types import PolicyParams
from mukoe.viewing.action_names import action_names
from mukoe.viewing.episodes import play_episode
from mukoe.viewing.inspected_agent import InspectedAgent
from mukoe.viewing.terminal import describe

CONFIG = TrainingConfig(
    environment=GymnasiumConfig("CartPole-v1"),
    agent=MuesliConfig(
        network=NetworkConfig(hidden_sizes=(8,), width=8, head_sizes=(8,), dynamics="lstm"),
        history=HistoryConfig(frames=2),
        loss=MuesliLossConfig(sequence_length=6, unroll_steps=2, num_samples=4),
        replay=MuesliReplayConfig(
            min_size=8, batch_size=8, samples_per_insert=4.0, online_fraction=0.25
        ),
    ),
    run=RunConfig(max_actor_steps=200, envs_per_actor=4, evaluation_episodes=2),
)


def test_it_trains_in_one_process_and_is_saved_with_its_memory(tmp_path):
    experiment = CONFIG.make_experiment()
    run = local.make_run(experiment, local.check(experiment), tmp_path)
    while not run.ended:
        run.step()
    replay, learner = run.replay, run.learner
    run.close()
    assert learner.steps > 10
    # Each step of an episode is in one item, or an item more at its end.
    assert 200 / 6 - 8 < replay.inserted < 200 / 6 + 20
    assert abs(replay.sampled / replay.inserted - 4.0) < 1.0
    rows = replay.sample().rows
    np.testing.assert_allclose(rows.extras["behavior_policy"][rows.mask > 0].sum(-1), 1, rtol=1e-5)
    saved, _ = Checkpointer(tmp_path / "checkpoints").restore(learner.save())
    assert saved.loss_state.total > 0
    np.testing.assert_array_equal(saved.loss_state.total, learner.save().loss_state.total)


def test_replay_has_sequences_side_by_side():
    declaration = CONFIG.agent.make_builder().replay
    assert (declaration.sequence_length, declaration.period, declaration.history) == (7, 6, 1)
    assert declaration.online_items == 2


def test_continuous_actions_go_from_the_actor_to_the_sample():
    config = dataclasses.replace(CONFIG.agent, history=HistoryConfig())
    environment = GymnasiumConfig("Pendulum-v1").make_factory()(0, 2, False)
    builder, spec = config.make_builder(), environment.spec
    networks = builder.make_networks(spec)
    policy = builder.make_policy(networks, spec)
    rows = row_spec(spec, policy.extras_spec)
    replay = InProcessReplay(builder.replay, rows, num_streams=2, seed=0)
    adders = [replay.make_adder() for _ in range(2)]
    params = PolicyParams(networks.init(jax.random.PRNGKey(0)), np.int32(0))
    source = VariableClient(types.SimpleNamespace(get_variables=lambda names: [params]))
    runner = LocalRunner(policy, source, jax.random.PRNGKey(1), 2)
    actor = builder.make_actor(policy, runner, adders)
    loop = EnvironmentLoop(environment, actor)
    for _ in range(60):
        loop.step()
    rows = replay.sample().rows
    taken = rows.mask > 0
    assert rows.action.shape == (*rows.mask.shape, 1) and rows.action.dtype == np.float32
    assert len(np.unique(rows.action[taken])) > 10
    # Untrained: mean 0, and the first standard deviation.
    np.testing.assert_array_equal(rows.extras["behavior_mean"][taken], 0.0)
    np.testing.assert_allclose(rows.extras["behavior_std"][taken], 0.5, rtol=1e-5)
    # The torque is the action, twice and clipped; Pendulum's reward has its square in it.
    cosine, sine, speed = np.moveaxis(rows.observation, -1, 0)
    torque = 2 * np.clip(rows.action[..., 0], -1, 1)
    cost = np.arctan2(sine, cosine) ** 2 + 0.1 * speed**2 + 0.001 * torque**2
    np.testing.assert_allclose(rows.reward[taken], -cost[taken], rtol=1e-3)


def test_continuous_actions_can_be_watched():
    config = dataclasses.replace(CONFIG.agent, evaluation="mode")
    environment = GymnasiumConfig("Pendulum-v1").make_factory()(0, 1, True)
    builder, spec = config.make_builder(), environment.spec
    params = PolicyParams(builder.make_networks(spec).init(jax.random.PRNGKey(0)), np.int32(0))
    agent = InspectedAgent(builder, spec, params)
    steps = list(play_episode(agent, environment, 0, 3))
    assert [s.step_index for s in steps] == [0, 1, 2, 3]
    np.testing.assert_array_equal(steps[0].decision.action, [0.0])
    assert "action [0.00]" in describe(steps[0], action_names(environment))
