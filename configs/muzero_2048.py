"""MuZero on 2048, for two CPU cores: `stochastic_2048.py` without a chance model."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.learning.update import TargetUpdateConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig


def get_config() -> TrainingConfig:
    """Returns a config with an MLP on the 4x4 board, and few simulations for many games."""
    return TrainingConfig(
        environment=PgxConfig("2048"),
        agent=MuZeroConfig(
            network=NetworkConfig(
                torso="flat",
                hidden_sizes=(256,),
                width=128,
                head_sizes=(64,),
                # h(30,000) is 202, and h(4,096), a merge of two tiles of 2,048, is 67. Initial
                # values lie in the middle of the support: for 0 to 250 at 13,000, an error that
                # returns of few steps correct very slowly.
                value_support=SupportConfig(-250.0, 250.0, 251),
                reward_support=SupportConfig(0.0, 80.0, 81),
            ),
            discount=0.999,
            search=SearchConfig(algorithm="gumbel", num_simulations=24),
            loss=UnrollLossConfig(
                unroll_steps=5,
                # A game has several hundred moves. The value of its end propagates 10 moves per
                # target update; stored search values are outdated, and λ = 0.5 propagates only
                # 2 moves.
                td_steps=10,
                td_lambda=1.0,
                bootstrap="target",
            ),
            replay=PlanningReplayConfig(
                capacity=200_000,
                min_size=5_000,
                batch_size=256,
                samples_per_insert=6.0,
                sampler="uniform",
            ),
            optimizer=OptimizerConfig(learning_rate=1e-3),
            target_update=TargetUpdateConfig(period=50),
        ),
        run=RunConfig(
            max_actor_steps=1_000_000,
            envs_per_actor=64,
            evaluation_episodes=20,
            evaluation_period=50_000,
            log_period=5_000,
        ),
    )
