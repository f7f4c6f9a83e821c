"""MuZero on Connect Four by self-play."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig


def get_config() -> TrainingConfig:
    """Returns a config with a small convolutional network, outcome targets and random openings."""
    support = SupportConfig(-1.0, 1.0, 3, hyperbolic=False)
    return TrainingConfig(
        environment=PgxConfig("connect_four", opponent="rollout", random_opening_moves=8),
        agent=MuZeroConfig(
            network=NetworkConfig(
                torso="board",
                width=32,
                representation_blocks=1,
                # An action is a column: constant planes would give a convolution no position.
                action_encoding="column",
                head_channels=4,
                head_sizes=(64,),
                value_support=support,
                reward_support=support,
            ),
            discount=1.0,
            search=SearchConfig(
                algorithm="gumbel",
                num_simulations=16,
            ),
            # A game has at most 42 moves, so the return is the outcome.
            loss=UnrollLossConfig(unroll_steps=5, td_steps=42, value_weight=1.0),
            replay=PlanningReplayConfig(
                capacity=100_000,
                min_size=4_000,
                batch_size=128,
                samples_per_insert=3.0,
                sampler="uniform",
            ),
            optimizer=OptimizerConfig(
                learning_rate=1e-3, schedule="cosine", decay_steps=30_000, weight_decay=1e-4
            ),
        ),
        run=RunConfig(
            max_actor_steps=1_300_000,
            envs_per_actor=128,
            evaluation_episodes=50,
            evaluation_period=200_000,
            log_period=10_000,
        ),
    )
