"""PPO on Atari with the settings of Cleanba, for an accelerator: --layout=sebulba.

Sources: [2] The 37 Implementation Details of PPO (Huang et al. 2022); [3] Cleanba,
arXiv:2310.00036. Both end an episode at a lost life and start games with no-ops. ALE's vector
environment supports neither, so this configuration has sticky actions instead.
"""

from mukoe.agents.ppo.config import PPOConfig, PPOLossConfig, PPONetworkConfig
from mukoe.environments.atari.config import AtariConfig
from mukoe.layouts.common.experiment import RunConfig, SebulbaConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.history import HistoryConfig


def get_config() -> TrainingConfig:
    """Returns the config of a run of 200M emulator frames, which are 50M agent steps."""
    return TrainingConfig(
        environment=AtariConfig(
            game="Breakout",
            grayscale=True,  # [2] Atari 5
            height=84,  # [2] Atari 5
            width=84,
            sticky_actions=0.25,  # [2], [3]: 0, with 1 to 30 no-ops
            reward_clip=True,  # [2] Atari 7
        ),
        agent=PPOConfig(
            network=PPONetworkConfig(torso="impala", hidden_sizes=(16, 32, 32), width=256),  # [3]
            history=HistoryConfig(frames=4),  # [2] Atari 6
            discount=0.99,
            loss=PPOLossConfig(
                gae_lambda=0.95,
                clip_epsilon=0.1,
                clip_values=False,  # [3]; [2]: yes
                entropy_weight=0.01,
                value_weight=0.5,
            ),  # [2], [3]
            rollout_steps=128,  # [2], [3]
            epochs=4,  # [2], [3]
            minibatches=4,  # [2], [3]
            optimizer=OptimizerConfig(
                learning_rate=2.5e-4, epsilon=1e-5, weight_decay=0.0, max_gradient_norm=0.5
            ),  # [2], [3]
            anneal_lr=True,  # [2], [3]
        ),
        run=RunConfig(
            max_actor_steps=50_000_000,  # [3]
            envs_per_actor=60,  # [3]
            evaluation_episodes=10,
            evaluation_period=1_000_000,
        ),
        sebulba=SebulbaConfig(threads_per_device=2),  # [3]
    )
