"""MuZero with candidates in an environment of mixed actions, whose optimum is known."""

import csv

import pytest

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts import local
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.distributions import GaussianConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig
from mukoe.search.q_normalization import QNormalizationConfig
from tests.environments.gymnasium import workshop

SUPPORT = SupportConfig(-3.0, 1.0, 17, hyperbolic=False)
CONFIG = TrainingConfig(
    environment=GymnasiumConfig(workshop.NAME),
    agent=MuZeroConfig(
        network=NetworkConfig(
            hidden_sizes=(32,),
            width=16,
            head_sizes=(),
            gaussian=GaussianConfig(initial_std=0.5, minimum_std=0.05),
            value_support=SUPPORT,
            reward_support=SUPPORT,
        ),
        discount=1.0,
        search=SearchConfig(
            algorithm="gumbel",
            num_candidates=8,
            num_simulations=16,
            q_normalization=QNormalizationConfig(scope="tree", floor=0.05),
        ),
        loss=UnrollLossConfig(unroll_steps=2, td_steps=2, value_weight=1.0, entropy_weight=3e-3),
        replay=PlanningReplayConfig(
            capacity=2_000,
            min_size=100,
            batch_size=32,
            samples_per_insert=8.0,
            sampler="uniform",
        ),
        optimizer=OptimizerConfig(learning_rate=3e-3),
    ),
    run=RunConfig(
        max_actor_steps=2_000, envs_per_actor=8, evaluation_episodes=20, evaluation_period=2_000
    ),
)


@pytest.mark.slow
def test_the_best_tool_and_its_force_are_learned(tmp_path):
    experiment = CONFIG.make_experiment()
    run = local.make_run(experiment, local.check(experiment), tmp_path)
    while not run.ended:
        run.step()
    run.close()
    with (tmp_path / "logs" / "evaluator.csv").open() as log:
        lowest = float(list(csv.DictReader(log))[-1]["episode_return_min"])
    # With the second tool at most 0.6; random actions have a mean of about 0.
    assert 0.9 < lowest <= workshop.BEST_RETURN
