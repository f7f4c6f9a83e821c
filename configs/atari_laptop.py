"""MuZero on an Atari game, with a network and a search for two CPU cores."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.atari.config import AtariConfig
from mukoe.layouts.common.experiment import DistributedConfig, RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.learning.reanalysis import ReanalyseConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig
from mukoe.search.q_normalization import QNormalizationConfig


def get_config() -> TrainingConfig:
    """Returns a config of a cheap network, many updates and fresh values.

    The search normalises Q-values by the range of the whole tree, with a floor: by the range of
    each node, noise of the value decides the search policy, and Pong was flat for 130,000 steps.
    Stored values are renewed by the network, oldest first, which costs a fraction of a target
    network.
    """
    return TrainingConfig(
        # No-op starts instead of sticky actions: two evaluation games differ.
        environment=AtariConfig(
            game="Pong",
            grayscale=True,
            height=64,
            width=64,
            sticky_actions=0.0,
            noop_max=30,
            reward_clip=True,
            # No effect in Pong, which has no lives. In Breakout, for instance, a lost life costs
            # no reward, so that values see it as the end of an episode only.
            life_loss=True,
            # Breakout waits for it. A policy that does not press it plays up to the frame limit.
            press_fire=True,
            max_frames=30_000,
        ),
        agent=MuZeroConfig(
            network=NetworkConfig(
                torso="nature_norm",
                width=256,
                head_sizes=(64,),
                value_support=SupportConfig(-15.0, 15.0, 61),
                reward_support=SupportConfig(-1.0, 1.0, 3, hyperbolic=False),
            ),
            history=HistoryConfig(frames=4),
            discount=0.99,
            search=SearchConfig(
                algorithm="muzero",
                num_simulations=50,
                q_normalization=QNormalizationConfig(scope="tree", floor=0.05, unvisited="parent"),
                temperature_schedule=((0, 1.0), (60_000, 0.5), (120_000, 0.25)),
            ),
            loss=UnrollLossConfig(unroll_steps=5, td_steps=5),
            reanalyse=ReanalyseConfig(mode="replay", search="values", rows_per_update=85),
            replay=PlanningReplayConfig(
                capacity=100_000,
                min_size=2_000,
                batch_size=64,
                samples_per_insert=16.0,
                priority_exponent=0.6,
                importance_exponent=0.4,
            ),
            optimizer=OptimizerConfig(learning_rate=5e-4, warmup_steps=500),
        ),
        run=RunConfig(
            max_actor_steps=1_000_000,
            envs_per_actor=16,
            evaluation_episodes=4,
            evaluation_period=20_000,
        ),
        distributed=DistributedConfig(num_actors=2),
    )
