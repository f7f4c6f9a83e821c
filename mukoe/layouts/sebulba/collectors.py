"""What an actor thread does in a round: rollouts on its device, or steps for replay."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import chex
import dm_env
import jax
import numpy as np

from mukoe.acting.actor import Adder
from mukoe.acting.device_rollouts import DeviceRolloutCollector, make_collect
from mukoe.acting.loop import EnvironmentLoop
from mukoe.acting.rollouts import Rollout, RolloutCollector, make_rollout_functions
from mukoe.acting.runners import LocalRunner, jit_with_memory, make_act
from mukoe.agents.builder import ActorLearnerBuilder
from mukoe.environments.pgx.streams import GameFunctions
from mukoe.environments.vector import VectorEnvironment
from mukoe.observability.timings import Timings
from mukoe.types import EnvironmentSpec, Policy, PolicyParams


class Collector(Protocol):
    """Acts in one vector of environments."""

    timings: Timings

    def collect(self, params: PolicyParams) -> Rollout:
        """Acts for one round with these parameters, which are on the device."""


CollectorFactory = Callable[[VectorEnvironment, chex.PRNGKey], Collector]
"""`(environment, key) -> Collector`; all of one factory share what is compiled."""


def make_collector_factory(
    builder: ActorLearnerBuilder, environment_spec: EnvironmentSpec, policy: Policy, steps: int
) -> CollectorFactory:
    """Makes what makes the collectors of an agent.

    Args:
      builder: of the agent.
      environment_spec: of one environment.
      policy: that acts.
      steps: of a round in each environment, where the agent has a replay.
    """
    rollout = builder.rollout
    if rollout is None:
        act = jit_with_memory(make_act(policy), "state")
        return lambda environment, key: BufferingCollector(
            builder, environment_spec, policy, environment, key, steps, act
        )
    functions = make_rollout_functions(policy)
    on_device: dict[GameFunctions, Callable] = {}

    def make(environment: VectorEnvironment, key: chex.PRNGKey) -> Collector:
        game = getattr(environment, "functions", None)
        if not isinstance(game, GameFunctions):
            return RolloutCollector(environment, policy, key, rollout, functions)
        collect = on_device.setdefault(game, make_collect(game, policy, rollout))
        return DeviceRolloutCollector(game, policy, key, rollout, collect)

    return make


class BufferedAdder:
    """An adder that plays what it was told to another one, later and in another thread."""

    def __init__(self) -> None:
        self._calls: list[tuple[str, tuple[Any, ...]]] = []

    def add_first(self, timestep: dm_env.TimeStep) -> None:
        self._calls.append(("add_first", (_copy(timestep),)))

    def add(
        self,
        action: np.ndarray,
        next_timestep: dm_env.TimeStep,
        extras: Mapping[str, np.ndarray],
        final_extras: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self._calls.append(("add", (action, _copy(next_timestep), extras, final_extras)))

    def reset(self, timeout_ms: int | None = None) -> None:
        self._calls.append(("reset", (timeout_ms,)))

    def take(self) -> "BufferedAdder":
        """Returns a tape of what was told since the last time."""
        taken = BufferedAdder()
        taken._calls, self._calls = self._calls, []
        return taken

    def play(self, adder: Adder) -> None:
        """Tells it to `adder`."""
        for name, arguments in self._calls:
            getattr(adder, name)(*arguments)


class BufferingCollector:
    """Makes steps for replay; a rollout holds a `BufferedAdder` for each environment."""

    def __init__(
        self,
        builder: ActorLearnerBuilder,
        environment_spec: EnvironmentSpec,
        policy: Policy,
        environment: VectorEnvironment,
        random_key: chex.PRNGKey,
        steps: int,
        act: Callable,
    ):
        """Acts in `environment`, `steps` steps a round; `act` is the jitted policy."""
        num_envs = environment.num_envs
        self._variables = _RoundParameters()
        self._tapes = [BufferedAdder() for _ in range(num_envs)]
        runner = LocalRunner(policy, self._variables, random_key, num_envs, act)
        actor = builder.make_actor(
            random_key, policy, environment_spec, runner, self._tapes, num_envs
        )
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
            rows=[tape.take() for tape in self._tapes],
            episodes=episodes,
            steps=after.steps - before.steps,
            frames=after.frames - before.frames,
            learner_steps=int(params.learner_steps),
            statistics=self._loop.statistics,
        )


class _RoundParameters:
    """The parameters of a round, where a runner looks for them."""

    params: PolicyParams

    def update(self, wait: bool = False) -> None:
        """Does nothing: they stay the same for the round."""
        del wait


def _copy(timestep: dm_env.TimeStep) -> dm_env.TimeStep:
    """An environment may use its arrays again."""
    return timestep._replace(observation=jax.tree.map(np.array, timestep.observation))
