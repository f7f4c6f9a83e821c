"""PPO on Pendulum-v1, with continuous actions, for two CPU cores: --layout=sebulba."""

from mukoe.agents.ppo.config import PPOConfig, PPOLossConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import RunConfig, SebulbaConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig


def get_config() -> TrainingConfig:
    """Returns a config that scales rewards, down to -16 per step, to values of order 1."""
    return TrainingConfig(
        environment=GymnasiumConfig("Pendulum-v1"),
        agent=PPOConfig(
            discount=0.9,
            loss=PPOLossConfig(gae_lambda=0.95, entropy_weight=0.0, reward_scale=0.1),
            rollout_steps=128,
            epochs=10,
            minibatches=8,
            optimizer=OptimizerConfig(
                learning_rate=1e-3, epsilon=1e-5, weight_decay=0.0, max_gradient_norm=0.5
            ),
            evaluation="mode",
        ),
        run=RunConfig(
            max_actor_steps=200_000,
            envs_per_actor=4,
            evaluation_episodes=20,
            evaluation_period=10_000,
            target_return=-180.0,
        ),
        sebulba=SebulbaConfig(threads_per_device=2),
    )
