"""Muesli on CartPole-v1, for two CPU cores."""

from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig, MuesliReplayConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig


def get_config() -> TrainingConfig:
    """Returns a config with MuZero's networks of the same task, and LSTM dynamics."""
    return TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"),
        agent=MuesliConfig(
            network=NetworkConfig(
                torso="mlp",
                hidden_sizes=(64,),
                width=64,
                dynamics="lstm",
                head_sizes=(32,),
                value_support=SupportConfig(0.0, 100.0, 101, hyperbolic=False),
                reward_support=SupportConfig(0.0, 1.0, 2, hyperbolic=False),
            ),
            discount=0.99,
            loss=MuesliLossConfig(sequence_length=20, num_samples=0),
            replay=MuesliReplayConfig(
                capacity=2_000,
                min_size=32,
                batch_size=32,
                samples_per_insert=16.0,
                online_fraction=1 / 16,
            ),
            optimizer=OptimizerConfig(learning_rate=1e-3, weight_decay=0.0),
            evaluation="mode",
        ),
        run=RunConfig(
            max_actor_steps=100_000,
            envs_per_actor=8,
            evaluation_episodes=100,
            evaluation_period=2_500,
            target_return=490.0,
        ),
    )
