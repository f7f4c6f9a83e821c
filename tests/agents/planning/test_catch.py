"""MuZero learns catch from pixels, and does not with rewards that are shifted by one step."""

import csv
import dataclasses

import jax.numpy as jnp
import pytest

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.planning.deterministic_model.builder import DeterministicModelBuilder
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts import local
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.learning.reanalysis import ReanalyseConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig
from mukoe.search.q_normalization import QNormalizationConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]

CONFIG = TrainingConfig(
    environment=GymnasiumConfig("tests.environments.catch:Catch32-v0"),
    agent=MuZeroConfig(
        network=NetworkConfig(
            torso="impala",
            hidden_sizes=(8, 16),
            width=64,
            value_support=SupportConfig(-1.0, 1.0, 21, hyperbolic=False),
            reward_support=SupportConfig(-1.0, 1.0, 3, hyperbolic=False),
        ),
        discount=0.99,
        search=SearchConfig(
            num_simulations=16,
            q_normalization=QNormalizationConfig(scope="tree", floor=0.05, unvisited="parent"),
            temperature_schedule=((0, 1.0), (1_000, 0.5)),
        ),
        loss=UnrollLossConfig(unroll_steps=5, td_steps=5),
        reanalyse=ReanalyseConfig(mode="replay", search="values", rows_per_update=85),
        replay=PlanningReplayConfig(
            capacity=20_000, min_size=200, batch_size=64, samples_per_insert=16.0
        ),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=100),
    ),
    run=RunConfig(
        max_actor_steps=14_000,
        envs_per_actor=8,
        evaluation_episodes=50,
        evaluation_period=2_000,
        target_return=0.9,
    ),
)


class ShiftedRewards(DeterministicModelBuilder):
    """MuZero whose loss reads the reward of the row before."""

    def make_loss(self, networks, environment_spec):
        loss = super().make_loss(networks, environment_spec)

        def broken(params, target_params, sample, key):
            reward = jnp.roll(sample.rows.reward, 1, axis=1).at[:, 0].set(0)
            sample = sample._replace(rows=sample.rows._replace(reward=reward))
            return loss(params, target_params, sample, key)

        return broken


def best_return(experiment, workdir):
    """Returns the highest mean return of the run's evaluations."""
    run = local.make_run(experiment, local.check(experiment), workdir)
    while not run.ended:
        run.step()
    run.close()
    with (workdir / "logs" / "evaluator.csv").open() as file:
        return max(float(row["episode_return"]) for row in csv.DictReader(file))


def test_catch_is_learned(tmp_path):
    assert best_return(CONFIG.make_experiment(), tmp_path) >= 0.9


def test_catch_is_not_learned_from_shifted_rewards(tmp_path):
    # The sound agent has 0.7 then.
    config = dataclasses.replace(CONFIG, run=dataclasses.replace(CONFIG.run, max_actor_steps=6_000))
    experiment = config.make_experiment().with_builder(ShiftedRewards(config.agent))
    assert best_return(experiment, tmp_path) < 0
