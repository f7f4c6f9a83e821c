"""AlphaZero on 2048, with the true law of the new tiles, for two CPU cores."""

from mukoe.agents.alphazero.config import (
    AlphaZeroConfig,
    AlphaZeroLossConfig,
    AlphaZeroNetworkConfig,
)
from mukoe.agents.planning.config import PlanningReplayConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.learning.update import TargetUpdateConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig
from mukoe.search.q_normalization import QNormalizationConfig


def get_config() -> TrainingConfig:
    """Returns a config with an MLP on the 4x4 board, and few simulations for many games."""
    return TrainingConfig(
        environment=PgxConfig("2048"),
        agent=AlphaZeroConfig(
            game="2048",
            network=AlphaZeroNetworkConfig(
                torso="flat",
                hidden_sizes=(256, 256),
                width=256,
                blocks=0,
                # The first search policies are noise, which silences units of a hidden layer.
                head_sizes=(),
                value_support=SupportConfig(-100.0, 100.0, 201),
            ),
            # Half of the simulations add an afterstate, half a position.
            discount=0.97,
            search=SearchConfig(
                algorithm="gumbel",
                num_simulations=16,
                q_normalization=QNormalizationConfig(scope="tree", floor=0.05),
            ),
            loss=AlphaZeroLossConfig(td_steps=10, bootstrap="target"),
            replay=PlanningReplayConfig(
                capacity=100_000,
                min_size=5_000,
                batch_size=256,
                samples_per_insert=16.0,
                sampler="uniform",
            ),
            optimizer=OptimizerConfig(learning_rate=1e-3, schedule="cosine", decay_steps=31_000),
            target_update=TargetUpdateConfig(period=100),
        ),
        run=RunConfig(
            max_actor_steps=500_000,
            envs_per_actor=64,
            evaluation_episodes=20,
            evaluation_period=50_000,
            log_period=5_000,
        ),
    )
