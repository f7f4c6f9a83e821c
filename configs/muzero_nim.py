"""MuZero on Nim for three players by self-play."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig
from mukoe.search.q_normalization import BOARD_GAMES


def get_config() -> TrainingConfig:
    """Returns a config with a small MLP, whose opponents play perfectly."""
    support = SupportConfig(-1.0, 1.0, 3, hyperbolic=False)
    return TrainingConfig(
        environment=PgxConfig("nim_3p", opponent="exact", random_opening_moves=6),
        agent=MuZeroConfig(
            network=NetworkConfig(
                torso="flat",
                hidden_sizes=(128,),
                width=64,
                head_sizes=(64,),
                value_support=support,
                reward_support=support,
            ),
            discount=1.0,
            search=SearchConfig(
                algorithm="gumbel", num_simulations=16, q_normalization=BOARD_GAMES
            ),
            loss=UnrollLossConfig(unroll_steps=4, td_steps=12, value_weight=1.0),
            replay=PlanningReplayConfig(
                capacity=20_000,
                min_size=1_000,
                batch_size=128,
                samples_per_insert=8.0,
                sampler="uniform",
            ),
            optimizer=OptimizerConfig(learning_rate=2e-3, weight_decay=1e-4),
        ),
        run=RunConfig(
            max_actor_steps=60_000,
            envs_per_actor=64,
            evaluation_episodes=60,
            evaluation_period=10_000,
            log_period=2_000,
        ),
    )
