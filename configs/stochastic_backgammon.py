"""Stochastic MuZero on Backgammon by self-play; tested to run, without results.

Source: Stochastic MuZero (Antonoglou et al., ICLR 2022), where one action is a whole turn and a
search has 1,600 simulations; here every die is a separate action.
"""

from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.stochastic_muzero.config import ChanceConfig, StochasticMuZeroConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig


def get_config() -> TrainingConfig:
    """Returns a config with an MLP on the points, the bar, the borne-off checkers and the dice."""
    support = SupportConfig(-3.0, 3.0, 7, hyperbolic=False)
    return TrainingConfig(
        environment=PgxConfig("backgammon"),
        agent=StochasticMuZeroConfig(
            network=NetworkConfig(
                torso="mlp",
                hidden_sizes=(256,),
                width=128,
                head_sizes=(64,),
                # A win is worth 1, a gammon 2, a backgammon 3.
                value_support=support,
                reward_support=support,
            ),
            discount=1.0,
            search=SearchConfig(algorithm="gumbel", num_simulations=32),
            # Paper: Monte Carlo returns. Games of an untrained policy have hundreds of moves, and
            # every sample would need as many rows.
            loss=UnrollLossConfig(unroll_steps=5, td_steps=40, value_weight=1.0),
            # 21 rolls of two dice, passes, and moves without a chance event.
            chance=ChanceConfig(codebook_size=32, afterstate_value_weight=1.0),
            replay=PlanningReplayConfig(
                capacity=200_000,
                min_size=5_000,
                batch_size=128,
                samples_per_insert=4.0,
                sampler="uniform",
            ),
            optimizer=OptimizerConfig(learning_rate=1e-3),
        ),
        run=RunConfig(
            max_actor_steps=1_000_000,
            envs_per_actor=64,
            evaluation_episodes=20,
            evaluation_period=100_000,
            log_period=10_000,
        ),
    )
