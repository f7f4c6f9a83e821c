"""Muesli on cartpole-swingup of the DeepMind Control Suite, for two CPU cores."""

from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig, MuesliReplayConfig
from mukoe.environments.dm_control.config import DmControlConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig


def get_config() -> TrainingConfig:
    """Returns a config for rewards of 0 to 2 per step, so values up to 2 / (1 - 0.99)."""
    return TrainingConfig(
        environment=DmControlConfig("cartpole-swingup", action_repeat=2),
        agent=MuesliConfig(
            network=NetworkConfig(
                torso="mlp",
                hidden_sizes=(128,),
                width=64,
                dynamics="lstm",
                head_sizes=(64,),
                # Of the transformed values, up to 13.4.
                value_support=SupportConfig(0.0, 14.0, 57),
                reward_support=SupportConfig(0.0, 1.0, 21),
            ),
            discount=0.99,
            loss=MuesliLossConfig(sequence_length=20, num_samples=16),
            replay=MuesliReplayConfig(
                capacity=10_000,
                min_size=32,
                batch_size=16,
                samples_per_insert=16.0,
                online_fraction=1 / 16,
            ),
            optimizer=OptimizerConfig(learning_rate=1e-3, weight_decay=0.0),
            evaluation="mode",
        ),
        run=RunConfig(
            max_actor_steps=250_000,
            envs_per_actor=8,
            evaluation_episodes=10,
            evaluation_period=10_000,
            target_return=800.0,
        ),
    )
