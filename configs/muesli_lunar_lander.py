"""Muesli on LunarLander-v3, with vector observations."""

from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig, MuesliReplayConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig


def get_config() -> TrainingConfig:
    """Returns a config with a small LSTM and a long horizon.

    With a short one, the value of a landing does not reach the states in which the lander hovers.
    """
    return TrainingConfig(
        environment=GymnasiumConfig("LunarLander-v3"),
        agent=MuesliConfig(
            network=NetworkConfig(
                torso="mlp",
                hidden_sizes=(128,),
                width=64,
                dynamics="lstm",
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
            # Reaches 0 at the end of the run: 700,000 steps are 23,000 updates.
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
