"""MuZero on Connect Four by self-play."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.augmentation import AugmentationConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.planning.consistency import ConsistencyConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig
from mukoe.search.q_normalization import QNormalizationConfig


def get_config() -> TrainingConfig:
    """Returns a config with a small residual tower, outcome targets and random openings.

    docs/results.md (muzero_connect_four_rewards) has what the parts are worth.
    """
    support = SupportConfig(-1.0, 1.0, 3, hyperbolic=False)
    return TrainingConfig(
        environment=PgxConfig("connect_four", opponent="rollout", random_opening_moves=8),
        agent=MuZeroConfig(
            network=NetworkConfig(
                torso="board",
                width=32,
                representation_blocks=3,
                # The model drops the stone, looks for four in a row and exchanges the players.
                dynamics_blocks=3,
                # An action is a column: constant planes would give a convolution no position.
                action_encoding="column",
                head_channels=8,
                head_sizes=(64,),
                value_support=support,
                reward_support=support,
            ),
            discount=1.0,
            search=SearchConfig(
                algorithm="gumbel",
                num_simulations=16,
                # The scale of board games, 1, is for values that are true; the model errs.
                q_normalization=QNormalizationConfig(
                    scope="known", known_range=(-1.0, 1.0), value_scale=0.25
                ),
            ),
            augmentation=AugmentationConfig(symmetries=True),
            consistency=ConsistencyConfig(weight=2.0),
            # A game has at most 42 moves, so the return is the outcome. One move of a game has a
            # reward, whose loss is lost among the others with a weight of 1.
            loss=UnrollLossConfig(
                unroll_steps=3, td_steps=42, value_weight=1.0, reward_weight=10.0
            ),
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
