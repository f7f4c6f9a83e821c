from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.search.config import SearchConfig


def get_config() -> TrainingConfig:
    return TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"),
        agent=MuZeroConfig(
            network=NetworkConfig(torso="mlp", hidden_sizes=(8,), width=8, head_sizes=(8,)),
            history=HistoryConfig(frames=2),
            search=SearchConfig(algorithm="gumbel", num_simulations=8),
            loss=UnrollLossConfig(unroll_steps=1, td_steps=2),
            replay=PlanningReplayConfig(
                capacity=500, min_size=20, batch_size=8, samples_per_insert=4.0
            ),
        ),
        run=RunConfig(
            max_actor_steps=60, envs_per_actor=2, evaluation_episodes=2, evaluation_period=40
        ),
    )
