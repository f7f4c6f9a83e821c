"""MuZero on an Atari game, whose return rises within half an hour on two CPU cores."""

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.atari.config import AtariConfig
from mukoe.layouts.common.experiment import DistributedConfig, RunConfig, TrainingConfig
from mukoe.learning.optimizers import OptimizerConfig
from mukoe.learning.update import TargetUpdateConfig
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.value_encoding import SupportConfig
from mukoe.search.config import SearchConfig
from mukoe.search.q_normalization import QNormalizationConfig


def get_config() -> TrainingConfig:
    """Returns the agent of `atari_laptop.py` for a program graph, on Breakout.

    Breakout rewards a single hit of the ball, so that its return rises with the first skill of the
    agent. Values of the target network are bootstrapped from, since the items of Reverb are
    immutable: stored values cannot be renewed.
    """
    return TrainingConfig(
        # No-op starts instead of sticky actions: two evaluation games differ.
        environment=AtariConfig(
            game="Breakout",
            grayscale=True,
            height=64,
            width=64,
            sticky_actions=0.0,
            noop_max=30,
            reward_clip=True,
            life_loss=True,
            # Without it the game waits: policies learned not to press it, and their games ended at
            # the frame limit.
            press_fire=True,
            max_frames=12_000,
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
                temperature_schedule=((0, 1.0), (10_000, 0.5), (30_000, 0.25)),
                # A greedy policy may wait for ever for the next ball.
                evaluation_temperature=0.25,
            ),
            loss=UnrollLossConfig(unroll_steps=5, td_steps=5, bootstrap="target"),
            # Exponents of Schaul et al. With the paper's exponents of 1, the importance weights,
            # normalised by their maximum, leave one sample of a small batch with a weight that
            # matters.
            replay=PlanningReplayConfig(
                capacity=100_000,
                min_size=2_000,
                batch_size=64,
                samples_per_insert=32.0,
                priority_exponent=0.6,
                importance_exponent=0.4,
            ),
            optimizer=OptimizerConfig(learning_rate=5e-4, warmup_steps=500),
            target_update=TargetUpdateConfig(period=200),
        ),
        run=RunConfig(
            max_actor_steps=100_000,
            envs_per_actor=8,
            evaluation_episodes=8,
            evaluation_period=10_000,
            log_period=2_000,
        ),
        distributed=DistributedConfig(num_actors=2),
    )
