"""Collectors: one round of an actor thread, as rollouts on its device or as steps for replay."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import chex
import jax

from mukoe.acting.device_rollouts import DeviceRolloutCollector, make_collect
from mukoe.acting.loop import EnvironmentLoop
from mukoe.acting.rollouts import Rollout, RolloutCollector, make_rollout_functions
from mukoe.acting.runners import LocalRunner, jit_with_memory, make_act
from mukoe.agents.builder import ActorLearnerBuilder
from mukoe.agents.extensions import rollout_of
from mukoe.environments.pgx.streams import GameFunctions
from mukoe.environments.vector import VectorEnvironment
from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.common.seeds import SeededPart, random_seed
from mukoe.layouts.sebulba.buffered_adder import BufferedAdder
from mukoe.observability.timings import Timings
from mukoe.types import Policy, PolicyParams


class Collector(Protocol):
    """Acts in one vector of environments.

    timings: seconds by part of the work.
    """

    timings: Timings

    def collect(self, params: PolicyParams) -> Rollout:
        """Acts for one round with these parameters, which are on the actor's device."""


CollectorFactory = Callable[[VectorEnvironment, chex.PRNGKey], Collector]
"""`(environment, key) -> Collector`; its collectors share compiled functions."""


def make_collector_factory(
    builder: ActorLearnerBuilder, policy: Policy, steps: int
) -> CollectorFactory:
    """Returns the factory of an agent's collectors.

    Args:
      builder: builder of the agent.
      policy: behaviour policy.
      steps: steps of a round in each environment, for an agent with replay.
    """
    rollout = rollout_of(builder)
    if rollout is None:
        act = jit_with_memory(make_act(policy), "state")
        return lambda environment, key: BufferingCollector(
            builder, policy, environment, key, steps, act
        )
    functions = make_rollout_functions(policy, rollout)
    on_device: dict[GameFunctions, Callable] = {}

    def make(environment: VectorEnvironment, key: chex.PRNGKey) -> Collector:
        game = getattr(environment, "functions", None)
        if not isinstance(game, GameFunctions):
            return RolloutCollector(environment, policy, key, rollout, functions)
        collect = on_device.setdefault(game, make_collect(game, policy, rollout))
        return DeviceRolloutCollector(game, policy, key, rollout, collect)

    return make


def make_collectors(
    experiment: ExperimentConfig,
    policy: Policy,
    devices: Sequence[jax.Device],
    start_counts: Mapping[str, int],
) -> tuple[list[VectorEnvironment], list[Collector]]:
    """Builds the environments and the collector of each actor thread.

    Args:
      experiment: agent, environment and settings.
      policy: behaviour policy.
      devices: device of each thread.
      start_counts: counts from which the seeds follow.
    """
    run = experiment.run
    make_collector = make_collector_factory(
        experiment.builder, policy, experiment.sebulba.round_steps
    )
    environments, collectors = [], []
    for index, device in enumerate(devices):
        seed = random_seed(run, start_counts, SeededPart.ENVIRONMENT, index)
        environment = experiment.environment_factory(seed, run.envs_per_actor, False)
        key = jax.random.PRNGKey(random_seed(run, start_counts, SeededPart.ACTOR, index))
        with jax.default_device(device):
            collectors.append(make_collector(environment, key))
        environments.append(environment)
    return environments, collectors


class BufferingCollector:
    """Makes steps for replay; the rows of a rollout are one `BufferedAdder` per environment."""

    def __init__(
        self,
        builder: ActorLearnerBuilder,
        policy: Policy,
        environment: VectorEnvironment,
        random_key: chex.PRNGKey,
        steps: int,
        act: Callable,
    ):
        """Builds the actor and its loop.

        Args:
          builder: builder of the agent.
          policy: behaviour policy.
          environment: vector of environments.
          random_key: key of the actions.
          steps: steps of a round in each environment.
          act: jitted result of `make_act`.
        """
        num_envs = environment.num_envs
        self._variables = _RoundParameters()
        self._adders = [BufferedAdder() for _ in range(num_envs)]
        runner = LocalRunner(policy, self._variables, random_key, num_envs, act)
        actor = builder.make_actor(policy, runner, self._adders)
        self._loop = EnvironmentLoop(environment, actor)
        self._steps = steps
        self.timings = self._loop.timings

    def collect(self, params: PolicyParams) -> Rollout:
        """Acts for one round."""
        self._variables.params = params
        before = self._loop.progress
        episodes = [result for _ in range(self._steps) for result in self._loop.step()]
        after = self._loop.progress
        return Rollout(
            rows=[adder.take() for adder in self._adders],
            episodes=episodes,
            steps=after.steps - before.steps,
            frames=after.frames - before.frames,
            learner_steps=int(params.learner_steps),
            statistics=self._loop.statistics,
        )


class _RoundParameters:
    """Holder of the parameters of a round, for a runner."""

    params: PolicyParams

    def update(self, wait: bool = False) -> None:
        """Does nothing: parameters are fixed during a round."""
        del wait
