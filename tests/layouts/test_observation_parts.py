"""Runs in an environment with a Dict of images, vectors, choices, sequences and texts."""

import dataclasses

import numpy as np
import pytest

from mukoe.agents.planning.augmentation import AugmentationConfig
from mukoe.agents.planning.consistency import ConsistencyConfig
from mukoe.layouts import sebulba
from mukoe.layouts.common.default_config import default_config
from tests.environments.gymnasium.landmarks import LANDMARKS
from tests.layouts.finished import rows_of
from tests.layouts.sebulba.corridor import MUESLI, PPO, experiment
from tests.layouts.tiny import tiny, train


@pytest.mark.parametrize("agent", ["muzero", pytest.param("muesli", marks=pytest.mark.slow)])
def test_one_process_learns_from_parts(tmp_path, agent):
    config = tiny(LANDMARKS, max_actor_steps=60, evaluation_period=0)
    muzero = dataclasses.replace(
        config.agent,
        consistency=ConsistencyConfig(weight=1.0, num_steps=1),
        augmentation=AugmentationConfig(shift=1, intensity=0.05),
    )
    config = dataclasses.replace(config, agent=muzero if agent == "muzero" else MUESLI)
    assert train(config, tmp_path) == 0
    losses = [float(row["loss"]) for row in rows_of(tmp_path, "learner")]
    assert losses and np.isfinite(losses).all()


ONE_STEP = dataclasses.replace(PPO, minibatches=1, epochs=1)


@pytest.mark.slow
def test_threads_learn_from_parts(tmp_path):
    made = experiment(ONE_STEP, LANDMARKS.make_factory(), threads=1, max_actor_steps=20)
    assert sebulba.train(made, sebulba.check(made), tmp_path, False) == 0
    losses = [float(row["loss"]) for row in rows_of(tmp_path, "learner")]
    assert losses and np.isfinite(losses).all()


def test_the_default_config_has_torsos_for_the_parts():
    config = default_config(LANDMARKS)
    assert config.agent.network.torso == "tanh_mlp" and config.agent.history.frames == 1
    vector = config.environment.make_factory()(0, 1, False)
    config.agent.make_builder().make_networks(vector.spec)
    vector.close()
