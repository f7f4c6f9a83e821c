"""MuZero on MinAtar's Breakout, and with --env on the other games."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.pgx.config import PgxConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig
from mukoe.search.q_normalization import QNormalizationConfig


def get_config() -> TrainingConfig:
    """Returns a config with the convolution of MinAtar's own agents and a replay of new data.

    docs/results.md (minatar_breakout_plain) has what each setting is worth.
    """
    return TrainingConfig(
        environment=PgxConfig("minatar-breakout", max_steps=2_500),
        agent=MuZeroConfig(
            network=NetworkConfig(
                torso="minatar",
                hidden_sizes=(256,),
                width=128,
                head_sizes=(64,),
                value_support=SupportConfig(0.0, 40.0, 81, hyperbolic=False),
                reward_support=SupportConfig(0.0, 1.0, 2, hyperbolic=False),
            ),
            discount=0.99,
            search=SearchConfig(
                algorithm="muzero",
                num_simulations=16,
                q_normalization=QNormalizationConfig(scope="tree", floor=0.05),
                temperature_schedule=((0, 1.0), (5_000, 0.5)),
            ),
            loss=UnrollLossConfig(unroll_steps=5, td_steps=5, bootstrap="target"),
            replay=PlanningReplayConfig(
                capacity=20_000,
                min_size=2_000,
                batch_size=128,
                samples_per_insert=16.0,
                sampler="uniform",
            ),
            optimizer=OptimizerConfig(learning_rate=1e-3),
        ),
        run=RunConfig(
            max_actor_steps=500_000,
            envs_per_actor=32,
            evaluation_episodes=8,
            evaluation_period=25_000,
            log_period=5_000,
        ),
    )
