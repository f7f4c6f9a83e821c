"""PPO on Pong, for two CPU cores: --layout=sebulba."""

from mukoe.agents.ppo.config import PPOConfig, PPOLossConfig, PPONetworkConfig
from mukoe.environments.atari.config import AtariConfig
from mukoe.layouts.common.experiment import RunConfig, SebulbaConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.history import HistoryConfig


def get_config() -> TrainingConfig:
    """Returns a config with DQN's network and the 8 environments of arXiv:1707.06347."""
    return TrainingConfig(
        environment=AtariConfig(
            game="Pong", grayscale=True, height=84, width=84, reward_clip=True, sticky_actions=0.0
        ),
        agent=PPOConfig(
            network=PPONetworkConfig(torso="nature", width=512),
            history=HistoryConfig(frames=4),
            loss=PPOLossConfig(clip_epsilon=0.1),
            optimizer=OptimizerConfig(
                learning_rate=2.5e-4, epsilon=1e-5, weight_decay=0.0, max_gradient_norm=0.5
            ),
        ),
        run=RunConfig(
            max_actor_steps=3_000_000,
            envs_per_actor=4,
            evaluation_episodes=4,
            evaluation_period=100_000,
            target_return=20.0,
        ),
        sebulba=SebulbaConfig(threads_per_device=2),
    )
