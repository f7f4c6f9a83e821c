"""The loop between an actor and its environments; actors and evaluators run it."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import dm_env
import numpy as np

from mukoe.acting.actor import Actor
from mukoe.environments.vector import VectorEnvironment
from mukoe.types import EpisodeResult


class Timings:
    """Seconds by part of the work; parts are named by whoever measures."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def start(self) -> None:
        """What passed until now belongs to nobody."""
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """What passed since the last lap belongs to `part`."""
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now

    def shares(self) -> dict[str, float]:
        """Fraction of the measured time by part."""
        total = sum(self.seconds.values()) or 1.0
        return {f"time_{part}": value / total for part, value in self.seconds.items()}


class LoopProgress(NamedTuple):
    """How far a loop is.

    steps: agent steps, over all environments.
    frames: emulator frames.
    """

    steps: int
    frames: int


class EnvironmentLoop:
    """Steps environments and an actor together, vector by vector."""

    def __init__(self, environment: VectorEnvironment, actor: Actor):
        self._environment = environment
        self._actor = actor
        self._timestep: dm_env.TimeStep | None = None
        self._steps = 0
        self.timings = Timings()

    def step(self) -> list[EpisodeResult]:
        """Makes one step in every environment; returns the episodes that it ended."""
        self.timings.start()
        if self._timestep is None:
            self._timestep = self._environment.reset()
            self._actor.observe_first(self._timestep)
            self.timings.lap("environment")
        action = self._actor.select_action(self._timestep.observation)
        self.timings.lap("policy")
        self._timestep = self._environment.step(action)
        self._steps += int(np.sum(~self._timestep.first()))
        self.timings.lap("environment")
        self._actor.observe(action, self._timestep)
        self._actor.update()
        self.timings.lap("other")
        return self._environment.finished_episodes()

    def run_episodes(
        self,
        num_episodes: int,
        should_stop: Callable[[], bool] = lambda: False,
        on_result: Callable[[EpisodeResult], None] = lambda _: None,
    ) -> list[EpisodeResult]:
        """Returns `num_episodes` results, fewer where it should stop before.

        Each environment contributes the same number of episodes (or one more), so that
        short episodes are not counted more often than long ones. The vector starts anew.

        Args:
          num_episodes: that are wanted.
          should_stop: asked before every step.
          on_result: told each result as it comes.
        """
        self._timestep = None
        num_envs = self._environment.num_envs
        wanted = np.full(num_envs, num_episodes // num_envs)
        wanted[: num_episodes % num_envs] += 1
        results: list[EpisodeResult] = []
        while wanted.sum() > 0 and not should_stop():
            for result in self.step():
                if wanted[result.environment] > 0:
                    wanted[result.environment] -= 1
                    results.append(result)
                    on_result(result)
        return results

    @property
    def progress(self) -> LoopProgress:
        """Steps and frames so far."""
        return LoopProgress(self._steps, self._steps * self._environment.action_repeat)

    @property
    def learner_steps(self) -> int:
        """The updates that made the parameters of the last actions."""
        return self._actor.learner_steps

    @property
    def statistics(self) -> Mapping[str, Any]:
        """Means of the policy's statistics at the last step."""
        return {name: float(np.mean(v)) for name, v in self._actor.statistics.items()}
