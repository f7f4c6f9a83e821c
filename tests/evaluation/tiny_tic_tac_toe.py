"""Self-play run of a few seconds with four checkpoints."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.networks.config import NetworkConfig
from mukoe.search.config import SearchConfig


def get_config() -> TrainingConfig:
    return TrainingConfig(
        environment=PgxConfig("tic_tac_toe"),
        agent=MuZeroConfig(
            network=NetworkConfig(torso="board", width=8, head_sizes=(16,)),
            discount=1.0,
            search=SearchConfig(algorithm="gumbel", num_simulations=2),
            loss=UnrollLossConfig(unroll_steps=1, td_steps=9),
            replay=PlanningReplayConfig(
                capacity=2_000, min_size=100, batch_size=16, samples_per_insert=2.0
            ),
        ),
        run=RunConfig(
            max_actor_steps=400,
            envs_per_actor=8,
            evaluation_episodes=4,
            evaluation_period=200,
            checkpoint_period=100,
            keep_checkpoints=10,
        ),
    )
