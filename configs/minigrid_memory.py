"""PPO with an LSTM on MiniGrid MemoryS7: --layout=sebulba. Needs pip install 'mukoe[minigrid]'."""

from mukoe.agents.ppo.config import PPOConfig, PPOLossConfig, PPONetworkConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import RunConfig, SebulbaConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.memory import MemoryConfig


def get_config() -> TrainingConfig:
    """Returns the settings of `minigrid_four_rooms.py`, with a memory of the object at the start.

    Without memory the agent turns to the right object in half of the episodes.
    """
    return TrainingConfig(
        environment=GymnasiumConfig("MiniGrid-MemoryS7-v0", sequence_length=16),
        agent=PPOConfig(
            network=PPONetworkConfig(width=32),
            memory=MemoryConfig(core="lstm", size=64),
            discount=0.99,
            loss=PPOLossConfig(gae_lambda=0.95, entropy_weight=0.01, clip_values=False),
            rollout_steps=128,
            epochs=4,
            # Minibatches of the rollouts of 4 environments.
            minibatches=4,
            optimizer=OptimizerConfig(
                learning_rate=1e-3, epsilon=1e-5, weight_decay=0.0, max_gradient_norm=0.5
            ),
        ),
        run=RunConfig(
            max_actor_steps=2_000_000,
            envs_per_actor=8,
            evaluation_episodes=20,
            evaluation_period=100_000,
            target_return=0.9,
        ),
        sebulba=SebulbaConfig(threads_per_device=2),
    )
