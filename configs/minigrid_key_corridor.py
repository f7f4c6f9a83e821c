"""PPO on MiniGrid's KeyCorridorS3R3: --layout=sebulba. Needs pip install 'mukoe[minigrid]'."""

from mukoe.agents.ppo.config import NoveltyConfig, PPOConfig, PPOLossConfig, PPONetworkConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import RunConfig, SebulbaConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig


def get_config() -> TrainingConfig:
    """Returns the settings of `minigrid_four_rooms.py`, with novelty as a second reward.

    docs/results.md (minigrid_key_corridor_counts) has how they were found.
    """
    return TrainingConfig(
        environment=GymnasiumConfig("MiniGrid-KeyCorridorS3R3-v0", sequence_length=16),
        agent=PPOConfig(
            network=PPONetworkConfig(width=32),
            discount=0.99,
            # The agent must drop the key before it can pick up the ball. After training on novelty
            # it rarely does either, and with an entropy weight of 0.01 no agent does both.
            loss=PPOLossConfig(gae_lambda=0.95, entropy_weight=0.03, clip_values=False),
            # The reward is behind a locked door.
            novelty=NoveltyConfig(
                weight=0.5, measure="counts", previous_weight=0.5, first_visits=True
            ),
            rollout_steps=128,
            epochs=4,
            # Minibatches of 256 steps.
            minibatches=8,
            optimizer=OptimizerConfig(
                learning_rate=1e-3, epsilon=1e-5, weight_decay=0.0, max_gradient_norm=0.5
            ),
        ),
        run=RunConfig(
            max_actor_steps=2_000_000,
            envs_per_actor=8,
            evaluation_episodes=20,
            evaluation_period=100_000,
            target_return=0.8,
        ),
        sebulba=SebulbaConfig(threads_per_device=2),
    )
