"""Run of a few seconds."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.networks.config import NetworkConfig
from mukoe.search.config import SearchConfig


def get_config() -> TrainingConfig:
    return TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"),
        agent=MuZeroConfig(
            network=NetworkConfig(torso="mlp", hidden_sizes=(8,), width=8, head_sizes=(8,)),
            search=SearchConfig(algorithm="gumbel", num_simulations=2),
            loss=UnrollLossConfig(unroll_steps=1, td_steps=2),
            replay=PlanningReplayConfig(
                capacity=500, min_size=50, batch_size=8, samples_per_insert=1.0
            ),
        ),
        run=RunConfig(max_actor_steps=120, envs_per_actor=4, evaluation_period=0),
    )
