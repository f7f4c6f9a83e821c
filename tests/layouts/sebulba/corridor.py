"""A tiny experiment of each agent, in an environment with known steps."""

import dataclasses
import time

import dm_env
import numpy as np
from dm_env import specs

from mukoe.agents.muesli.config import MuesliConfig, MuesliLossConfig, MuesliReplayConfig
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.agents.ppo.config import PPOConfig, PPOLossConfig, PPONetworkConfig
from mukoe.environments.sync_vector import SyncVectorEnvironment
from mukoe.layouts.common.experiment import ExperimentConfig, RunConfig, SebulbaConfig
from mukoe.networks.config import NetworkConfig
from mukoe.search.config import SearchConfig


class Corridor(dm_env.Environment):
    """Six steps, each rewarded by its action; the observation is the seed and the step."""

    def __init__(self, seed, pause=0.0):
        self._seed, self._step, self._pause = seed, 0, pause

    def reset(self):
        self._step = 0
        return dm_env.restart(self._observe())

    def step(self, action):
        time.sleep(self._pause)
        self._step += 1
        if self._step == 6:
            return dm_env.truncation(float(action), self._observe(), 1.0)
        return dm_env.transition(float(action), self._observe(), 1.0)

    def _observe(self):
        return np.float32([self._seed % 1000 / 1000, self._step])

    def observation_spec(self):
        return specs.Array((2,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(2)


def corridors(seeds=None, make=Corridor):
    """Returns a factory that appends the seeds of its calls to `seeds`."""

    def factory(seed, num_envs, evaluation):
        if seeds is not None and not evaluation:
            seeds.append(seed)
        return SyncVectorEnvironment([make(seed + i) for i in range(num_envs)])

    return factory


PPO = PPOConfig(
    network=PPONetworkConfig(hidden_sizes=(4,)),
    loss=PPOLossConfig(),
    rollout_steps=5,
    minibatches=5,
    epochs=2,
)
NETWORK = NetworkConfig(hidden_sizes=(8,), width=8, head_sizes=(8,))
MUZERO = MuZeroConfig(
    network=NETWORK,
    search=SearchConfig(num_simulations=2),
    loss=UnrollLossConfig(unroll_steps=2, td_steps=2),
    replay=PlanningReplayConfig(min_size=20, batch_size=8, samples_per_insert=2.0),
)
MUESLI = MuesliConfig(
    network=dataclasses.replace(NETWORK, dynamics="lstm"),
    loss=MuesliLossConfig(sequence_length=5, unroll_steps=1),
    replay=MuesliReplayConfig(min_size=4, batch_size=4, samples_per_insert=4.0),
)


def experiment(agent=PPO, factory=None, threads=2, staleness=1, **run):
    options = {
        "max_actor_steps": 200,
        "envs_per_actor": 2,
        "evaluation_episodes": 2,
        "evaluation_period": 0,
        "log_seconds": 0.2,
        "log_period": 50,
    }
    return ExperimentConfig(
        builder=agent.make_builder(),
        environment_factory=factory or corridors(),
        run=RunConfig(**(options | run)),
        sebulba=SebulbaConfig(threads_per_device=threads, staleness=staleness, round_steps=5),
    )
