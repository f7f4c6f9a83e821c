"""Stochastic MuZero on 2048 with the settings of the paper; for many accelerators and days.

Source: Antonoglou et al., "Planning in Stochastic Environments with a Learned Model", ICLR 2022
(https://openreview.net/forum?id=X6D9bAHhBQ1), section 5 and the appendix on 2048. `Silent`
marks values that the paper does not give.
"""

from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.stochastic_muzero.config import ChanceConfig, StochasticMuZeroConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.experiment import DistributedConfig, RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig


def get_config() -> TrainingConfig:
    """Returns a config with ten residual blocks of 256 channels and 100 simulations."""
    # 601 bins of h(x). Range silent: MuZero's.
    support = SupportConfig(-300.0, 300.0, 601, hyperbolic=True)
    return TrainingConfig(
        # Rules and scores are those of the original game.
        environment=PgxConfig("2048"),
        agent=StochasticMuZeroConfig(
            network=NetworkConfig(
                # The board as a vector; layer normalisation, pre-activation.
                torso="flat",
                # Silent: the layer before the blocks.
                hidden_sizes=(256,),
                width=256,
                # 10 blocks in each function.
                representation_blocks=10,
                dynamics_blocks=10,
                # Silent.
                head_sizes=(256,),
                value_support=support,
                reward_support=support,
            ),
            discount=0.999,
            search=SearchConfig(
                algorithm="muzero",
                num_simulations=100,
                dirichlet_alpha=0.3,
                dirichlet_fraction=0.1,
                # By learner steps.
                temperature_schedule=((0, 1.0), (100_000, 0.5), (200_000, 0.1), (300_000, 0.0)),
            ),
            loss=UnrollLossConfig(
                unroll_steps=5,
                # TD(λ) over 10 steps.
                td_steps=10,
                td_lambda=0.5,
                # Silent: the search's values, as in MuZero.
                bootstrap="search",
                # Equal weights.
                policy_weight=1.0,
                value_weight=1.0,
                reward_weight=1.0,
            ),
            chance=ChanceConfig(
                codebook_size=32,
                afterstate_value_weight=1.0,
                chance_weight=1.0,
                # The paper draws outcomes from σ.
                sample_outcomes=True,
            ),
            replay=PlanningReplayConfig(
                # Paper: 125,000 trajectories. Here items are steps: 125,000 games of 2,000 moves
                # would be 250M of them, more than fits into the memory of one machine.
                capacity=5_000_000,
                # Silent.
                min_size=100_000,
                batch_size=1024,
                # Silent: both sides run freely.
                samples_per_insert=None,
                sampler="prioritized",
                priority_exponent=1.0,
                importance_exponent=1.0,
            ),
            # Adam. Weight decay and clipping: silent.
            optimizer=OptimizerConfig(name="adamw", learning_rate=3e-4, weight_decay=1e-4),
        ),
        run=RunConfig(
            max_learner_steps=20_000_000,  # paper
            # Silent. More than these updates need.
            max_actor_steps=20_000_000_000,
            envs_per_actor=64,
            evaluation_episodes=100,
            evaluation_period=10_000_000,
            checkpoint_seconds=1_800.0,
        ),
        # Paper: 1,000 actors. 16 are for a machine of 32 cores.
        distributed=DistributedConfig(num_actors=16),
    )
