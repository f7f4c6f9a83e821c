"""PPO on LunarLander-v3, for two CPU cores: --layout=sebulba."""

from mukoe.agents.ppo.config import PPOConfig, PPOLossConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import RunConfig, SebulbaConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig


def get_config() -> TrainingConfig:
    """Returns the settings of RL Baselines3 Zoo for this task: long rollouts, a long horizon."""
    return TrainingConfig(
        environment=GymnasiumConfig("LunarLander-v3"),
        agent=PPOConfig(
            discount=0.999,
            loss=PPOLossConfig(gae_lambda=0.98, entropy_weight=0.01, clip_values=False),
            rollout_steps=1024,
            epochs=4,
            # Minibatches of 64 steps.
            minibatches=256,
            optimizer=OptimizerConfig(
                learning_rate=3e-4, epsilon=1e-5, weight_decay=0.0, max_gradient_norm=0.5
            ),
            anneal_lr=False,
            evaluation="mode",
        ),
        run=RunConfig(
            max_actor_steps=1_000_000,
            envs_per_actor=8,
            evaluation_episodes=20,
            evaluation_period=50_000,
            target_return=250.0,
        ),
        sebulba=SebulbaConfig(threads_per_device=2),
    )
