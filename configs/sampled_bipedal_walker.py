"""Sampled MuZero on BipedalWalker-v3, with four continuous actions, for two CPU cores."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.planning.consistency import ConsistencyConfig
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
    """Returns a config with the consistency loss: most of the 24 observations are not rewarded.

    A step forward has a reward of some tenths, a fall -100.
    """
    return TrainingConfig(
        environment=GymnasiumConfig("BipedalWalker-v3"),
        agent=MuZeroConfig(
            network=NetworkConfig(
                torso="mlp",
                hidden_sizes=(256,),
                width=128,
                head_sizes=(128,),
                gaussian=GaussianConfig(initial_std=0.7, minimum_std=0.1),
                value_support=SupportConfig(-15.0, 20.0, 141),
                reward_support=SupportConfig(-10.0, 3.0, 105),
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
            consistency=ConsistencyConfig(weight=2.0, num_steps=2),
            replay=PlanningReplayConfig(
                capacity=500_000,
                min_size=5_000,
                batch_size=128,
                samples_per_insert=16.0,
                sampler="uniform",
            ),
            optimizer=OptimizerConfig(learning_rate=5e-4),
            target_update=TargetUpdateConfig(period=200),
        ),
        run=RunConfig(
            max_actor_steps=1_000_000,
            envs_per_actor=8,
            evaluation_episodes=10,
            evaluation_period=25_000,
            target_return=300.0,
        ),
    )
