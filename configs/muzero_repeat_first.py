"""Gumbel MuZero with an LSTM on a test of memory."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.planning.memory import ReplayedMemoryConfig
from mukoe.environments.repeat_first import RepeatFirstConfig
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig


def get_config() -> TrainingConfig:
    """Returns settings that reach the return 1 in a minute; --config.agent.memory.core=none cannot.

    Without memory the best expected return is 1 / 4.
    """
    return TrainingConfig(
        environment=RepeatFirstConfig(num_symbols=4, length=6),
        agent=MuZeroConfig(
            network=NetworkConfig(
                hidden_sizes=(32,),
                width=32,
                head_sizes=(32,),
                value_support=SupportConfig(0.0, 2.0, 21),
                reward_support=SupportConfig(0.0, 1.0, 11),
            ),
            memory=ReplayedMemoryConfig(core="lstm", size=32, burn_in=6),
            discount=0.95,
            search=SearchConfig(algorithm="gumbel", num_simulations=8),
            loss=UnrollLossConfig(unroll_steps=3, td_steps=3),
            replay=PlanningReplayConfig(min_size=500, batch_size=64, samples_per_insert=16.0),
            optimizer=OptimizerConfig(learning_rate=3e-3, weight_decay=1e-4),
        ),
        run=RunConfig(
            max_actor_steps=20_000,
            envs_per_actor=8,
            evaluation_episodes=20,
            evaluation_period=2_000,
            target_return=0.95,
        ),
    )
