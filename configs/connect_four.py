"""AlphaZero on Connect Four by self-play."""

from mukoe.agents.alphazero.config import AlphaZeroConfig, AlphaZeroNetworkConfig
from mukoe.agents.planning.config import PlanningReplayConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.search.config import SearchConfig
from mukoe.search.q_normalization import BOARD_GAMES


def get_config() -> TrainingConfig:
    """Returns a config with a small residual tower, Gumbel search and random openings."""
    return TrainingConfig(
        environment=PgxConfig(
            "connect_four", opponent="rollout", rollout_simulations=400, random_opening_moves=8
        ),
        agent=AlphaZeroConfig(
            game="connect_four",
            network=AlphaZeroNetworkConfig(width=32, blocks=4, head_channels=8, head_sizes=(64,)),
            discount=1.0,
            search=SearchConfig(
                algorithm="gumbel", num_simulations=32, q_normalization=BOARD_GAMES
            ),
            replay=PlanningReplayConfig(
                capacity=100_000,
                min_size=4_000,
                batch_size=128,
                samples_per_insert=4.0,
                sampler="uniform",
            ),
            optimizer=OptimizerConfig(
                learning_rate=2e-3, schedule="cosine", decay_steps=12_400, weight_decay=1e-4
            ),
        ),
        run=RunConfig(
            max_actor_steps=400_000,
            envs_per_actor=128,
            evaluation_episodes=50,
            evaluation_period=200_000,
            log_period=10_000,
        ),
    )
