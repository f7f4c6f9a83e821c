"""MuZero on LunarLander-v3, with vector observations."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.learning.update import TargetUpdateConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig


def get_config() -> TrainingConfig:
    """Returns a config with a wider MLP than CartPole's; returns lie between -500 and 300."""
    return TrainingConfig(
        environment=GymnasiumConfig("LunarLander-v3"),
        agent=MuZeroConfig(
            network=NetworkConfig(
                torso="mlp",
                hidden_sizes=(128,),
                width=128,
                head_sizes=(64,),
                value_support=SupportConfig(-25.0, 25.0, 101),
                reward_support=SupportConfig(-12.0, 12.0, 49),
            ),
            discount=0.99,
            search=SearchConfig(
                algorithm="muzero",
                num_simulations=25,
                temperature_schedule=((0, 1.0), (3_000, 0.5), (10_000, 0.25)),
            ),
            loss=UnrollLossConfig(unroll_steps=5, td_steps=10, bootstrap="target"),
            # The newest steps alone: a replay of 100,000 steps holds some seeds at hovering, which
            # forks of such a run with an empty replay leave.
            replay=PlanningReplayConfig(
                capacity=20_000,
                min_size=1_000,
                batch_size=128,
                samples_per_insert=16.0,
                sampler="uniform",
            ),
            optimizer=OptimizerConfig(learning_rate=1e-3),
            target_update=TargetUpdateConfig(period=200),
        ),
        run=RunConfig(
            max_actor_steps=300_000,
            envs_per_actor=8,
            evaluation_episodes=25,
            evaluation_period=10_000,
            target_return=250.0,
        ),
    )
