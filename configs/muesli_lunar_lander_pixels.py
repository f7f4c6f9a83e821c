"""Muesli on LunarLander-v3, with four stacked grayscale frames of 64x64 pixels."""

from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig, MuesliReplayConfig
from mukoe.agents.planning.augmentation import ImageAugmentationConfig
from mukoe.environments.gymnasium.config import GymnasiumPixelsConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.value_encoding import SupportConfig


def get_config() -> TrainingConfig:
    """Returns the config of the vector task with convolutions, action repeat and fewer updates.

    Frames cost much more than vectors, in rendering and in learning. An action is repeated for four
    steps, the discount is the one of four steps, and each sequence is sampled eight times on
    average. The frames are shifted at random: a network that saw them unshifted memorised those of
    the replay, and did not read the angle of the lander from new ones.
    """
    return TrainingConfig(
        environment=GymnasiumPixelsConfig("LunarLander-v3", action_repeat=4),
        agent=MuesliConfig(
            network=NetworkConfig(
                torso="nature_norm",
                width=64,
                dynamics="lstm",
                head_sizes=(64,),
                value_support=SupportConfig(-25.0, 25.0, 101),
                reward_support=SupportConfig(-12.0, 12.0, 49),
            ),
            history=HistoryConfig(frames=4),
            discount=0.98,
            loss=MuesliLossConfig(sequence_length=20, num_samples=0),
            augmentation=ImageAugmentationConfig(shift=4),
            replay=MuesliReplayConfig(
                capacity=2_000,
                min_size=32,
                batch_size=16,
                samples_per_insert=8.0,
                online_fraction=1 / 8,
            ),
            # Reaches 0 at the end of the run: 340,000 steps are about 10,000 updates.
            optimizer=OptimizerConfig(
                learning_rate=1e-3, schedule="linear", decay_steps=10_000, weight_decay=0.0
            ),
            evaluation="mode",
        ),
        run=RunConfig(
            max_actor_steps=340_000,
            envs_per_actor=8,
            evaluation_episodes=10,
            evaluation_period=10_000,
            target_return=250.0,
        ),
    )
