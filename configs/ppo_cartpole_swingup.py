"""PPO on cartpole-swingup of the DeepMind Control Suite, for two CPU cores: --layout=sebulba."""

from mukoe.agents.ppo.config import PPOConfig, PPOLossConfig
from mukoe.environments.dm_control.config import DmControlConfig
from mukoe.layouts.common.experiment import RunConfig, SebulbaConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig


def get_config() -> TrainingConfig:
    """Returns a config of 500 agent steps per episode, with rewards of 0 to 2 per step."""
    return TrainingConfig(
        environment=DmControlConfig("cartpole-swingup", action_repeat=2),
        agent=PPOConfig(
            discount=0.99,
            loss=PPOLossConfig(gae_lambda=0.95, entropy_weight=0.0, reward_scale=0.1),
            rollout_steps=256,
            epochs=10,
            minibatches=16,
            optimizer=OptimizerConfig(
                learning_rate=5e-4, epsilon=1e-5, weight_decay=0.0, max_gradient_norm=0.5
            ),
            evaluation="mode",
        ),
        run=RunConfig(
            max_actor_steps=500_000,
            envs_per_actor=4,
            evaluation_episodes=10,
            evaluation_period=10_000,
            target_return=800.0,
        ),
        sebulba=SebulbaConfig(threads_per_device=2),
    )
