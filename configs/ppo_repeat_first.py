"""PPO with an LSTM on a test of memory: --layout=sebulba."""

from mukoe.agents.ppo.config import PPOConfig, PPOLossConfig, PPONetworkConfig
from mukoe.environments.repeat_first import RepeatFirstConfig
from mukoe.layouts.common.experiment import RunConfig, SebulbaConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.memory import MemoryConfig


def get_config() -> TrainingConfig:
    """Returns settings that reach the return 1 in minutes; --config.agent.memory.core=none cannot.

    Without memory the best expected return is 1 / 4.
    """
    return TrainingConfig(
        environment=RepeatFirstConfig(num_symbols=4, length=16),
        agent=PPOConfig(
            network=PPONetworkConfig(hidden_sizes=(64,), width=64),
            memory=MemoryConfig(core="lstm", size=64),
            discount=0.95,
            loss=PPOLossConfig(entropy_weight=0.01, clip_values=False),
            rollout_steps=64,
            epochs=4,
            # Minibatches of the rollouts of 8 environments.
            minibatches=4,
            optimizer=OptimizerConfig(
                learning_rate=1e-3, epsilon=1e-5, weight_decay=0.0, max_gradient_norm=0.5
            ),
        ),
        run=RunConfig(
            max_actor_steps=300_000,
            envs_per_actor=16,
            evaluation_episodes=20,
            evaluation_period=50_000,
            target_return=0.98,
        ),
        sebulba=SebulbaConfig(threads_per_device=2),
    )
