"""MuZero on tic-tac-toe by self-play."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig


def get_config() -> TrainingConfig:
    """Returns a config with a small MLP, outcome targets and random openings."""
    support = SupportConfig(-1.0, 1.0, 3, hyperbolic=False)
    return TrainingConfig(
        environment=PgxConfig("tic_tac_toe", opponent="exact", random_opening_moves=6),
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
                algorithm="muzero",
                num_simulations=25,
                dirichlet_alpha=1.0,
                dirichlet_fraction=0.25,
                temperature_schedule=((0, 1.0), (2_000, 0.5)),
            ),
            loss=UnrollLossConfig(unroll_steps=5, td_steps=9, value_weight=1.0),
            replay=PlanningReplayConfig(
                capacity=50_000,
                min_size=2_000,
                batch_size=128,
                samples_per_insert=5.0,
                sampler="uniform",
            ),
            optimizer=OptimizerConfig(
                learning_rate=2e-3, schedule="cosine", decay_steps=23_400, weight_decay=1e-4
            ),
        ),
        run=RunConfig(
            max_actor_steps=600_000,
            envs_per_actor=64,
            evaluation_episodes=100,
            evaluation_period=50_000,
            log_period=10_000,
        ),
    )
