"""Opening a run whose learner was built for its length."""

import dataclasses

import jax
import numpy as np
import pytest

from mukoe.agents.ppo.config import PPOConfig, PPONetworkConfig
from mukoe.configuration import prepare_workdir
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import TrainingConfig, check_experiment
from mukoe.layouts.common.stored_run import open_run
from mukoe.learning.checkpoint import Checkpointer


@pytest.mark.parametrize("anneal_lr", [True, False])
def test_a_run_opens_with_and_without_a_schedule_over_its_length(tmp_path, anneal_lr):
    network = PPONetworkConfig(hidden_sizes=(4,))
    config = TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"),
        agent=dataclasses.replace(PPOConfig(), network=network, anneal_lr=anneal_lr),
    )
    experiment = config.make_experiment()
    spec = check_experiment(experiment)
    builder = experiment.builder.for_agent_steps(1_000)
    networks = builder.make_networks(spec)
    learner = builder.make_learner(jax.random.PRNGKey(7), networks, iter(()), spec)
    workdir = prepare_workdir(tmp_path / "run", config, None, resume=False)
    checkpointer = Checkpointer(workdir / "checkpoints")
    checkpointer.save(3, learner.save(), {"counts": {"actor_steps": 9}})
    checkpointer.close()

    run = open_run(workdir)
    assert run.counts == {"actor_steps": 9}
    jax.tree.map(np.testing.assert_array_equal, run.params.network, learner.save().params)
