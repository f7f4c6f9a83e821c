"""Gumbel MuZero on Ms. Pacman with a small network: the agent of the benchmarks."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.atari.config import AtariConfig
from mukoe.layouts.common.experiment import DistributedConfig, RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.learning.update import TargetUpdateConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.search.config import SearchConfig


def get_config() -> TrainingConfig:
    """Returns a config with few simulations, from which Gumbel MuZero learns."""
    return TrainingConfig(
        environment=AtariConfig(
            game="MsPacman",
            grayscale=True,
            height=64,
            width=64,
            reward_clip=False,
        ),
        agent=MuZeroConfig(
            network=NetworkConfig(torso="small", width=64, dynamics_blocks=1),
            history=HistoryConfig(frames=4),
            search=SearchConfig(
                algorithm="gumbel", num_simulations=8, max_num_considered_actions=9
            ),
            loss=UnrollLossConfig(unroll_steps=5, td_steps=5),
            # Exponents of Schaul et al. With the paper's exponents of 1, the importance weights,
            # normalised by their maximum, leave one sample of a small batch with a weight that
            # matters.
            replay=PlanningReplayConfig(
                capacity=100_000,
                min_size=500,
                batch_size=32,
                samples_per_insert=2.0,
                priority_exponent=0.6,
                importance_exponent=0.4,
            ),
            optimizer=OptimizerConfig(learning_rate=5e-4, warmup_steps=100),
            target_update=TargetUpdateConfig(period=200),
        ),
        run=RunConfig(max_actor_steps=1_000_000, envs_per_actor=4),
        distributed=DistributedConfig(num_actors=2),
    )
