"""Muesli on 2048, for two CPU cores."""

from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig, MuesliReplayConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig


def get_config() -> TrainingConfig:
    """Returns a config with the networks and supports of `muzero_2048.py`, and LSTM dynamics."""
    return TrainingConfig(
        environment=PgxConfig("2048"),
        agent=MuesliConfig(
            network=NetworkConfig(
                torso="flat",
                hidden_sizes=(256,),
                width=128,
                dynamics="lstm",
                head_sizes=(64,),
                value_support=SupportConfig(-250.0, 250.0, 251),
                reward_support=SupportConfig(0.0, 80.0, 81),
            ),
            discount=0.999,
            loss=MuesliLossConfig(sequence_length=20, num_samples=0),
            replay=MuesliReplayConfig(
                capacity=10_000,
                min_size=250,
                batch_size=32,
                samples_per_insert=8.0,
                online_fraction=0.125,
            ),
            optimizer=OptimizerConfig(learning_rate=1e-3, weight_decay=0.0),
        ),
        run=RunConfig(
            max_actor_steps=1_000_000,
            envs_per_actor=64,
            evaluation_episodes=20,
            evaluation_period=50_000,
            log_period=5_000,
        ),
    )
