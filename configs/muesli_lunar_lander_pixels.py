"""Muesli on LunarLander-v3 from four pictures of 64x64 instead of its vector."""

from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig, MuesliReplayConfig
from mukoe.environments.gymnasium_pixels import GymnasiumPixelsConfig
from mukoe.layouts.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.models import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig


def get_config() -> TrainingConfig:
    """The settings of the vector, a small IMPALA torso, and a quarter of the updates."""
    return TrainingConfig(
        environment=GymnasiumPixelsConfig("LunarLander-v3", height=64, width=64, grayscale=True),
        agent=MuesliConfig(
            network=NetworkConfig(
                torso="impala",
                hidden_sizes=(8, 16, 16),
                width=64,
                dynamics="lstm",
                head_sizes=(64,),
                value_support=SupportConfig(-25.0, 25.0, 101),
                reward_support=SupportConfig(-12.0, 12.0, 49),
            ),
            history=HistoryConfig(frames=4),
            loss=MuesliLossConfig(sequence_length=30, discount=0.995, num_samples=0),
            replay=MuesliReplayConfig(
                capacity=5_000,
                min_size=32,
                batch_size=16,
                samples_per_insert=4.0,
                fresh_fraction=1 / 4,
            ),
            optimizer=OptimizerConfig(learning_rate=5e-4, weight_decay=0.0),
        ),
        run=RunConfig(
            max_actor_steps=1_000_000,
            envs_per_actor=8,
            evaluation_episodes=10,
            evaluation_period=25_000,
            target_return=250.0,
        ),
    )
