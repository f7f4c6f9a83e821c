"""A program that starts soon, learns a little, and saves often."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import DistributedConfig, RunConfig, TrainingConfig
from mukoe.networks.config import NetworkConfig
from mukoe.search.config import SearchConfig


def get_config():
    return TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"),
        agent=MuZeroConfig(
            network=NetworkConfig(hidden_sizes=(8,), width=8, head_sizes=(8,)),
            search=SearchConfig(num_simulations=2),
            loss=UnrollLossConfig(unroll_steps=2, td_steps=2),
            replay=PlanningReplayConfig(min_size=40, batch_size=8, samples_per_insert=2.0),
        ),
        run=RunConfig(
            max_actor_steps=100_000_000,
            evaluation_episodes=1,
            evaluation_period=500,
            checkpoint_seconds=2.0,
            replay_checkpoint_seconds=2.0,
            log_seconds=1.0,
        ),
        distributed=DistributedConfig(
            num_actors=1,
            inference="local",
            learner_threads=1,
            hang_seconds=30.0,
            max_restarts=100,
        ),
    )
