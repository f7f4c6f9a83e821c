"""PPO on CartPole-v1, for two CPU cores: --layout=sebulba."""

from mukoe.agents.ppo.config import PPOConfig, PPOLossConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import RunConfig, SebulbaConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig


def get_config() -> TrainingConfig:
    """Returns the settings of RL Baselines3 Zoo for this task: short rollouts, many epochs."""
    return TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"),
        agent=PPOConfig(
            discount=0.98,
            loss=PPOLossConfig(gae_lambda=0.8, entropy_weight=0.0, clip_values=False),
            rollout_steps=32,
            epochs=20,
            minibatches=1,
            optimizer=OptimizerConfig(
                learning_rate=1e-3, epsilon=1e-5, weight_decay=0.0, max_gradient_norm=0.5
            ),
            evaluation="mode",
        ),
        run=RunConfig(
            max_actor_steps=100_000,
            envs_per_actor=4,
            evaluation_episodes=20,
            evaluation_period=10_000,
        ),
        sebulba=SebulbaConfig(threads_per_device=2),
    )
