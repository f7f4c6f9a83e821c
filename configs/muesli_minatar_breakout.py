"""Muesli on MinAtar's Breakout, and with --env on the other games."""

from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig, MuesliReplayConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig


def get_config() -> TrainingConfig:
    """Returns a config with MuZero's networks of the same task, and LSTM dynamics."""
    return TrainingConfig(
        environment=PgxConfig("minatar-breakout", max_steps=2_500),
        agent=MuesliConfig(
            network=NetworkConfig(
                torso="minatar",
                hidden_sizes=(256,),
                width=128,
                dynamics="lstm",
                head_sizes=(64,),
                value_support=SupportConfig(0.0, 40.0, 81, hyperbolic=False),
                reward_support=SupportConfig(0.0, 1.0, 2, hyperbolic=False),
            ),
            discount=0.99,
            loss=MuesliLossConfig(sequence_length=20, num_samples=0),
            replay=MuesliReplayConfig(
                capacity=10_000,
                min_size=128,
                batch_size=32,
                samples_per_insert=8.0,
                online_fraction=0.125,
            ),
            optimizer=OptimizerConfig(learning_rate=1e-3, weight_decay=0.0),
        ),
        run=RunConfig(
            max_actor_steps=500_000,
            envs_per_actor=32,
            evaluation_episodes=8,
            evaluation_period=25_000,
            log_period=5_000,
        ),
    )
