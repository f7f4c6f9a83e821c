"""AlphaZero on Tron for three players by self-play, for two cores."""

from mukoe.agents.alphazero.config import AlphaZeroConfig, AlphaZeroNetworkConfig
from mukoe.agents.planning.config import PlanningReplayConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.search.config import SearchConfig
from mukoe.search.q_normalization import BOARD_GAMES


def get_config() -> TrainingConfig:
    """Returns a config with a small residual tower and random openings."""
    return TrainingConfig(
        environment=PgxConfig("tron_3p", random_opening_moves=6),
        agent=AlphaZeroConfig(
            game="tron_3p",
            network=AlphaZeroNetworkConfig(width=32, blocks=2, head_channels=8, head_sizes=(64,)),
            search=SearchConfig(
                algorithm="gumbel", num_simulations=32, q_normalization=BOARD_GAMES
            ),
            replay=PlanningReplayConfig(
                capacity=50_000,
                min_size=2_000,
                batch_size=128,
                samples_per_insert=4.0,
                sampler="uniform",
            ),
            optimizer=OptimizerConfig(learning_rate=2e-3, weight_decay=1e-4),
        ),
        run=RunConfig(
            max_actor_steps=200_000,
            envs_per_actor=64,
            evaluation_episodes=60,
            evaluation_period=25_000,
            log_period=5_000,
        ),
    )
