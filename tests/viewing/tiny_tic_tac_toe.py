from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.networks.config import NetworkConfig
from mukoe.search.config import SearchConfig


def get_config() -> TrainingConfig:
    return TrainingConfig(
        environment=PgxConfig("tic_tac_toe", random_opening_moves=4),
        agent=MuZeroConfig(
            network=NetworkConfig(
                torso="board", width=8, dynamics_blocks=0, head_channels=2, head_sizes=(8,)
            ),
            discount=1.0,
            search=SearchConfig(num_simulations=12),
            loss=UnrollLossConfig(unroll_steps=1, td_steps=2),
            replay=PlanningReplayConfig(
                capacity=500, min_size=20, batch_size=8, samples_per_insert=4.0
            ),
        ),
        run=RunConfig(
            max_actor_steps=40, envs_per_actor=2, evaluation_episodes=2, evaluation_period=0
        ),
    )
