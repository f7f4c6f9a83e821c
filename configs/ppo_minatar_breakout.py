"""PPO on MinAtar's Breakout, which runs on the device: --layout=sebulba."""

from mukoe.agents.ppo.config import PPOConfig, PPOLossConfig, PPONetworkConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.experiment import RunConfig, SebulbaConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig


def get_config() -> TrainingConfig:
    """Returns a config with many environments, whose step costs little more than one of few."""
    return TrainingConfig(
        environment=PgxConfig("minatar-breakout", max_steps=2_500),
        agent=PPOConfig(
            network=PPONetworkConfig(hidden_sizes=(128, 128)),
            discount=0.99,
            loss=PPOLossConfig(gae_lambda=0.95, entropy_weight=0.01),
            rollout_steps=128,
            epochs=4,
            minibatches=8,
            optimizer=OptimizerConfig(
                learning_rate=2e-3, epsilon=1e-5, weight_decay=0.0, max_gradient_norm=0.5
            ),
        ),
        run=RunConfig(
            max_actor_steps=10_000_000,
            envs_per_actor=64,
            evaluation_episodes=8,
            evaluation_period=500_000,
            log_period=50_000,
        ),
        # The environments do not use the host: a second thread would only wait.
        sebulba=SebulbaConfig(threads_per_device=1),
    )
