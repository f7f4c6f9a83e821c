"""Sampled MuZero on Pendulum-v1, with continuous actions, for two CPU cores."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.learning.update import TargetUpdateConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.distributions import GaussianConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig
from mukoe.search.q_normalization import QNormalizationConfig


def get_config() -> TrainingConfig:
    """Returns a config for rewards from -16.3 to 0, so values above -16.3 / (1 - 0.97)."""
    return TrainingConfig(
        environment=GymnasiumConfig("Pendulum-v1"),
        agent=MuZeroConfig(
            network=NetworkConfig(
                torso="mlp",
                hidden_sizes=(128,),
                width=64,
                head_sizes=(64,),
                gaussian=GaussianConfig(initial_std=0.7, minimum_std=0.1),
                value_support=SupportConfig(-24.0, 0.0, 97),
                reward_support=SupportConfig(-4.0, 0.0, 33),
            ),
            discount=0.97,
            search=SearchConfig(
                algorithm="gumbel",
                num_candidates=16,
                num_simulations=32,
                q_normalization=QNormalizationConfig(scope="tree", floor=0.01),
            ),
            loss=UnrollLossConfig(
                unroll_steps=5,
                td_steps=5,
                bootstrap="target",
                value_weight=1.0,
                entropy_weight=5e-3,
            ),
            replay=PlanningReplayConfig(
                capacity=60_000,
                min_size=1_000,
                batch_size=64,
                samples_per_insert=32.0,
                sampler="uniform",
            ),
            optimizer=OptimizerConfig(learning_rate=1e-3),
            target_update=TargetUpdateConfig(period=100),
        ),
        run=RunConfig(
            max_actor_steps=60_000,
            envs_per_actor=8,
            evaluation_episodes=20,
            evaluation_period=2_000,
            target_return=-150.0,
        ),
    )
