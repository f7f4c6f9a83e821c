"""Muesli on tic-tac-toe by self-play."""

from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig, MuesliReplayConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig


def get_config() -> TrainingConfig:
    """Returns a config with MuZero's networks of the same task, and LSTM dynamics.

    A sequence is a whole game.
    """
    support = SupportConfig(-1.0, 1.0, 3, hyperbolic=False)
    return TrainingConfig(
        environment=PgxConfig("tic_tac_toe", opponent="exact", random_opening_moves=6),
        agent=MuesliConfig(
            network=NetworkConfig(
                torso="flat",
                hidden_sizes=(128,),
                width=64,
                dynamics="lstm",
                head_sizes=(64,),
                value_support=support,
                reward_support=support,
            ),
            discount=1.0,
            loss=MuesliLossConfig(sequence_length=9, unroll_steps=3, num_samples=0),
            replay=MuesliReplayConfig(
                capacity=10_000,
                min_size=400,
                batch_size=64,
                samples_per_insert=8.0,
                online_fraction=0.125,
            ),
            optimizer=OptimizerConfig(learning_rate=1e-3, weight_decay=0.0),
            evaluation="mode",
        ),
        run=RunConfig(
            max_actor_steps=600_000,
            envs_per_actor=64,
            evaluation_episodes=100,
            evaluation_period=50_000,
            log_period=10_000,
        ),
    )
