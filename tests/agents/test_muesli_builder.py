"""Muesli put together: it acts, stores, samples and learns in one process."""

import numpy as np

from mukoe.agents.muesli import MuesliConfig, MuesliLossConfig, MuesliReplayConfig
from mukoe.environments import GymnasiumConfig
from mukoe.layouts import local
from mukoe.layouts.experiment import RunConfig, TrainingConfig
from mukoe.learning.checkpoint import Checkpointer
from mukoe.networks.history import HistoryConfig
from mukoe.networks.models import NetworkConfig

CONFIG = TrainingConfig(
    environment=GymnasiumConfig("CartPole-v1"),
    agent=MuesliConfig(
        network=NetworkConfig(hidden_sizes=(8,), width=8, head_sizes=(8,), dynamics="lstm"),
        history=HistoryConfig(frames=2),
        loss=MuesliLossConfig(sequence_length=6, unroll_steps=2, num_samples=4),
        replay=MuesliReplayConfig(
            min_size=8, batch_size=8, samples_per_insert=4.0, fresh_fraction=0.25
        ),
    ),
    run=RunConfig(max_actor_steps=200, envs_per_actor=4, evaluation_episodes=2),
)


def test_it_trains_in_one_process_and_is_saved_with_its_memory(tmp_path):
    experiment = CONFIG.make_experiment()
    run = local.LocalRun(experiment, local.check(experiment), tmp_path, {})
    while not run.ended:
        run.step()
    replay, learner = run._replay, run._learner
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
    assert declaration.fresh_items == 2
