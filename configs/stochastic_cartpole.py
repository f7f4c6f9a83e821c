"""Stochastic MuZero on CartPole-v1, a deterministic task, for two CPU cores."""

from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.stochastic_muzero.config import ChanceConfig, StochasticMuZeroConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.learning.update import TargetUpdateConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig


def get_config() -> TrainingConfig:
    """Returns `cartpole.py` with twice the simulations, half of which expand chance nodes."""
    return TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"),
        agent=StochasticMuZeroConfig(
            network=NetworkConfig(
                torso="mlp",
                hidden_sizes=(64,),
                width=64,
                head_sizes=(32,),
                value_support=SupportConfig(0.0, 100.0, 101, hyperbolic=False),
                reward_support=SupportConfig(0.0, 1.0, 2, hyperbolic=False),
            ),
            discount=0.99,
            search=SearchConfig(
                algorithm="muzero",
                num_simulations=50,
                temperature_schedule=((0, 1.0), (400, 0.25)),
            ),
            loss=UnrollLossConfig(
                unroll_steps=5,
                td_steps=10,
                bootstrap="target",
                value_weight=1.0,
            ),
            chance=ChanceConfig(codebook_size=32, afterstate_value_weight=1.0),
            replay=PlanningReplayConfig(
                capacity=20_000,
                min_size=500,
                batch_size=128,
                samples_per_insert=96.0,
                sampler="uniform",
            ),
            optimizer=OptimizerConfig(learning_rate=2e-3),
            target_update=TargetUpdateConfig(period=50),
        ),
        run=RunConfig(
            max_actor_steps=30_000,
            envs_per_actor=8,
            evaluation_episodes=20,
            evaluation_period=1_000,
            target_return=490.0,
        ),
    )
