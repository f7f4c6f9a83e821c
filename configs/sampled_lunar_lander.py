"""Sampled MuZero on LunarLander-v3 with continuous actions, for two CPU cores."""

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
    """Returns the config of two engines; returns lie between -500 and 300, rewards at ±100."""
    return TrainingConfig(
        environment=GymnasiumConfig("LunarLander-v3", {"continuous": True}),
        agent=MuZeroConfig(
            network=NetworkConfig(
                torso="mlp",
                hidden_sizes=(128,),
                width=128,
                head_sizes=(64,),
                gaussian=GaussianConfig(initial_std=0.7, minimum_std=0.1),
                value_support=SupportConfig(-25.0, 25.0, 101),
                reward_support=SupportConfig(-12.0, 12.0, 49),
            ),
            discount=0.99,
            search=SearchConfig(
                algorithm="gumbel",
                num_candidates=16,
                num_simulations=32,
                q_normalization=QNormalizationConfig(scope="tree", floor=0.01),
            ),
            loss=UnrollLossConfig(
                unroll_steps=5, td_steps=10, bootstrap="target", entropy_weight=5e-3
            ),
            replay=PlanningReplayConfig(
                capacity=20_000,
                min_size=2_000,
                batch_size=128,
                samples_per_insert=32.0,
                sampler="uniform",
            ),
            optimizer=OptimizerConfig(learning_rate=1e-3),
            target_update=TargetUpdateConfig(period=200),
        ),
        run=RunConfig(
            max_actor_steps=400_000,
            envs_per_actor=8,
            evaluation_episodes=25,
            evaluation_period=10_000,
            target_return=250.0,
        ),
    )
