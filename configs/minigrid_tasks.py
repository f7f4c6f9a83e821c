"""PPO on two tasks of MiniGrid at once: --layout=sebulba. Needs pip install 'mukoe[minigrid]'."""

from mukoe.agents.ppo.config import PPOConfig, PPOLossConfig, PPONetworkConfig
from mukoe.environments.tasks import TasksConfig
from mukoe.layouts.common.experiment import RunConfig, SebulbaConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig


def get_config() -> TrainingConfig:
    """Returns the settings of `minigrid_door_key.py` with half of the environments for each task.

    They have not been tuned.
    """
    return TrainingConfig(
        environment=TasksConfig(("MiniGrid-Empty-6x6-v0", "MiniGrid-DoorKey-6x6-v0")),
        agent=PPOConfig(
            network=PPONetworkConfig(width=32),
            discount=0.99,
            loss=PPOLossConfig(gae_lambda=0.95, entropy_weight=0.01, clip_values=False),
            rollout_steps=128,
            epochs=4,
            # Minibatches of 256 steps.
            minibatches=8,
            optimizer=OptimizerConfig(
                learning_rate=1e-3, epsilon=1e-5, weight_decay=0.0, max_gradient_norm=0.5
            ),
        ),
        run=RunConfig(
            max_actor_steps=500_000,
            envs_per_actor=8,
            evaluation_episodes=20,
            evaluation_period=50_000,
        ),
        sebulba=SebulbaConfig(threads_per_device=2),
    )
