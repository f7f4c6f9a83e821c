"""Muesli on Pendulum-v1, with continuous actions, for two CPU cores."""

from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig, MuesliReplayConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig


def get_config() -> TrainingConfig:
    """Returns a config for rewards from -16.3 to 0, so values above -16.3 / (1 - 0.97)."""
    return TrainingConfig(
        environment=GymnasiumConfig("Pendulum-v1"),
        agent=MuesliConfig(
            network=NetworkConfig(
                torso="mlp",
                hidden_sizes=(128,),
                width=64,
                dynamics="lstm",
                head_sizes=(64,),
                value_support=SupportConfig(-24.0, 0.0, 97),
                reward_support=SupportConfig(-4.0, 0.0, 33),
            ),
            discount=0.97,
            loss=MuesliLossConfig(sequence_length=20, num_samples=16),
            replay=MuesliReplayConfig(
                capacity=5_000,
                min_size=32,
                batch_size=16,
                samples_per_insert=16.0,
                online_fraction=1 / 16,
            ),
            optimizer=OptimizerConfig(learning_rate=1e-3, weight_decay=0.0),
            evaluation="mode",
        ),
        run=RunConfig(
            max_actor_steps=100_000,
            envs_per_actor=8,
            evaluation_episodes=20,
            evaluation_period=5_000,
            target_return=-180.0,
        ),
    )
