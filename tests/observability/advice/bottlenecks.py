"""Runs of one process with a constructed bottleneck."""

import dataclasses
import time

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.environments.vector_wrapper import VectorWrapper
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.networks.config import NetworkConfig
from mukoe.search.config import SearchConfig


class Paused(VectorWrapper):
    """CartPole in which every environment waits at every step."""

    def step(self, actions):
        time.sleep(0.01 * self.num_envs)
        return super().step(actions)


@dataclasses.dataclass(frozen=True)
class PausedConfig:
    name: str = "paused"

    def make_factory(self):
        factory = GymnasiumConfig("CartPole-v1").make_factory()
        return lambda *args: Paused(factory(*args))


RUN = RunConfig(
    max_actor_steps=1500,
    envs_per_actor=4,
    evaluation_period=0,
    log_period=100,
    log_seconds=1.0,
    loggers=("csv",),
)
REPLAY = PlanningReplayConfig(min_size=100, batch_size=16, samples_per_insert=0.5)


def config(environment=None, replay=REPLAY, simulations=4, **network):
    sizes = {"hidden_sizes": (16,), "width": 16, "head_sizes": (16,), **network}
    return TrainingConfig(
        environment=environment or GymnasiumConfig("CartPole-v1"),
        agent=MuZeroConfig(
            network=NetworkConfig(**sizes),
            search=SearchConfig(num_simulations=simulations),
            loss=UnrollLossConfig(unroll_steps=2, td_steps=2),
            replay=replay,
        ),
        run=RUN,
    )


def slow_environment():
    return config(PausedConfig())


def wide_network():
    # Few updates: those of a wide network cost as much as eight steps of acting.
    replay = dataclasses.replace(REPLAY, samples_per_insert=0.125)
    sizes = {"hidden_sizes": (1024,), "width": 1024, "head_sizes": (1024,)}
    return config(replay=replay, simulations=8, **sizes)


def small_batches():
    replay = dataclasses.replace(REPLAY, batch_size=2, samples_per_insert=4.0)
    return config(replay=replay)
