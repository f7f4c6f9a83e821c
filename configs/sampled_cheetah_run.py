"""Sampled MuZero on cheetah-run of the DeepMind Control Suite, for two CPU cores."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.dm_control.config import DmControlConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.learning.update import TargetUpdateConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.distributions import GaussianConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig
from mukoe.search.q_normalization import QNormalizationConfig


def get_config() -> TrainingConfig:
    """Returns a config of 20 candidates per node, of six dimensions.

    Number of candidates as in the paper (Hubert et al. 2021, arXiv:2104.06303).
    Action repeat as in TD-MPC2 (Hansen et al. 2024, arXiv:2310.16828), so that 250,000 agent steps
    are 500,000 control steps.
    """
    return TrainingConfig(
        environment=DmControlConfig("cheetah-run", action_repeat=2),
        agent=MuZeroConfig(
            network=NetworkConfig(
                torso="mlp",
                hidden_sizes=(256,),
                width=128,
                head_sizes=(128,),
                gaussian=GaussianConfig(initial_std=0.7, minimum_std=0.1),
                # Of the transformed values, up to 13.4.
                value_support=SupportConfig(0.0, 14.0, 57),
                reward_support=SupportConfig(0.0, 1.0, 21),
            ),
            discount=0.99,
            search=SearchConfig(
                algorithm="gumbel",
                num_candidates=20,
                num_simulations=32,
                q_normalization=QNormalizationConfig(scope="tree", floor=0.01),
            ),
            loss=UnrollLossConfig(
                unroll_steps=5,
                td_steps=5,
                bootstrap="target",
                value_weight=1.0,
                # Of 20 candidates in six dimensions none is far better than the others.
                policy_target="best",
                entropy_weight=5e-3,
            ),
            replay=PlanningReplayConfig(
                capacity=20_000,
                min_size=2_000,
                batch_size=64,
                samples_per_insert=32.0,
                sampler="uniform",
            ),
            optimizer=OptimizerConfig(learning_rate=1e-3),
            target_update=TargetUpdateConfig(period=100),
        ),
        run=RunConfig(
            max_actor_steps=250_000,
            envs_per_actor=8,
            evaluation_episodes=10,
            evaluation_period=5_000,
            target_return=None,
        ),
    )
