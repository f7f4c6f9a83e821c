"""Muesli on LunarLander-v3 with the networks of `configs/lunar_lander.py` (MuZero)."""

from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig, MuesliReplayConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig


def get_config() -> TrainingConfig:
    """The settings of `configs/muesli_lunar_lander.py`, but for MuZero's residual dynamics."""
    return TrainingConfig(
        environment=GymnasiumConfig("LunarLander-v3"),
        agent=MuesliConfig(
            network=NetworkConfig(
                torso="mlp",
                hidden_sizes=(128,),
                width=128,
                dynamics="residual",
                head_sizes=(64,),
                value_support=SupportConfig(-25.0, 25.0, 101),
                reward_support=SupportConfig(-12.0, 12.0, 49),
            ),
            discount=0.995,
            loss=MuesliLossConfig(sequence_length=30, num_samples=0),
            replay=MuesliReplayConfig(
                capacity=2_000,
                min_size=32,
                batch_size=16,
                samples_per_insert=16.0,
                online_fraction=1 / 16,
            ),
            optimizer=OptimizerConfig(
                learning_rate=1e-3, schedule="linear", decay_steps=23_000, weight_decay=0.0
            ),
            evaluation="mode",
        ),
        run=RunConfig(
            max_actor_steps=700_000,
            envs_per_actor=8,
            evaluation_episodes=25,
            evaluation_period=10_000,
            target_return=250.0,
        ),
    )
