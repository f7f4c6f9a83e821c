"""The loop between an actor and its environments; actors and evaluators run it."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import dm_env
import numpy as np

from mukoe.acting.actor import Actor
from mukoe.environments.vector import VectorEnvironment
from mukoe.observability.timings import Timings
from mukoe.types import EpisodeResult


class LoopProgress(NamedTuple):
    """How far a loop is.

    steps: agent steps, over all environments.
    frames: emulator frames.
    """

    steps: int
    frames: int


class Acting(Protocol):
    """Says how far something is that steps environments."""

    @property
    def timings(self) -> Timings:
        """The seconds of its parts."""

    @property
    def progress(self) -> LoopProgress:
        """Steps and frames so far."""

    @property
    def learner_steps(self) -> int:
        """The updates that made the parameters of the last actions."""

    @property
    def statistics(self) -> Mapping[str, float]:
        """Means of the policy's statistics at the last step."""


class Loop(Acting, Protocol):
    """What steps environments."""

    def step(self) -> list[EpisodeResult]:
        """Makes one step; returns the episodes that it ended."""


class EnvironmentLoop:
    """Steps environments and an actor together, vector by vector."""

    def __init__(
        self, environment: VectorEnvironment, actor: Actor, timings: Timings | None = None
    ):
        """Steps `environment` with `actor`.

        Args:
          environment: the vector.
          actor: over as many environments.
          timings: those of the actor's parts together, where it has several. The parts of
            the work are `environment`, `policy`, `recording` (which waits where replay takes no
            more) and `other`; the first actions, which are compiled for, are not timed.
        """
        self._environment = environment
        self._actor = actor
        self._timestep: dm_env.TimeStep | None = None
        self._steps = 0
        self._has_acted = False
        self.timings = timings or Timings()

    def step(self) -> list[EpisodeResult]:
        """Makes one step in every environment; returns the episodes that it ended."""
        self.begin()
        return self.finish()

    def begin(self) -> None:
        """Starts a step: asks for actions, which `finish` waits for."""
        self.timings.start()
        if self._timestep is None:
            self._timestep = self._environment.reset()
            self._actor.observe_first(self._timestep)
            self.timings.lap("environment")
        self._actor.request(self._timestep.observation)
        self._lap_policy()

    def finish(self) -> list[EpisodeResult]:
        """Ends the step that was begun; returns the episodes that it ended."""
        self.timings.start()
        action = self._actor.receive()
        self._lap_policy()
        self._has_acted = True
        self._actor.record()
        self.timings.lap("recording")
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

    def go_on(self, timestep: dm_env.TimeStep) -> None:
        """Goes on from the last time step of a vector and an actor that were brought back."""
        self._timestep = timestep

    @property
    def num_envs(self) -> int:
        """Environments that are stepped."""
        return self._environment.num_envs

    @property
    def progress(self) -> LoopProgress:
        """Steps and frames so far."""
        return LoopProgress(self._steps, self._steps * self._environment.action_repeat)

    @property
    def learner_steps(self) -> int:
        """The updates that made the parameters of the last actions."""
        return self._actor.learner_steps

    @property
    def statistics(self) -> Mapping[str, float]:
        """Means of the policy's statistics at the last step."""
        return {name: float(np.mean(v)) for name, v in self._actor.statistics.items()}

    def _lap_policy(self) -> None:
        if self._has_acted:
            self.timings.lap("policy")
        else:
            self.timings.start()


class DoubleBufferedLoop:
    """Steps one part of an actor's environments while the others wait for their actions.

        part 0   search |step| search |step| search
        part 1      |step| search |step| search |step

    Parts are loops of their own: environments, actor, policy memory. What is recorded of a
    stream is what its loop alone would have recorded.
    """

    def __init__(self, loops: Sequence[EnvironmentLoop]):
        """Takes over the loops, which share their timings."""
        self._loops = loops
        self._next = 0
        self._begun = False
        self.timings = loops[0].timings

    def step(self) -> list[EpisodeResult]:
        """Makes one step in the environments of one part, the parts taking turns.

        Returns the episodes that it ended; their environments are counted over all parts.
        """
        if not self._begun:
            for loop in self._loops:
                loop.begin()
            self._begun = True
        part, self._next = self._next, (self._next + 1) % len(self._loops)
        results = self._loops[part].finish()
        self._loops[part].begin()
        offset = sum(loop.num_envs for loop in self._loops[:part])
        return [r._replace(environment=r.environment + offset) for r in results]

    @property
    def progress(self) -> LoopProgress:
        """Steps and frames so far, over all parts."""
        parts = [loop.progress for loop in self._loops]
        return LoopProgress(sum(p.steps for p in parts), sum(p.frames for p in parts))

    @property
    def learner_steps(self) -> int:
        """The updates that made the parameters of the last actions."""
        return max(loop.learner_steps for loop in self._loops)

    @property
    def statistics(self) -> Mapping[str, float]:
        """Means of the policy's statistics at the last step of each part, over the parts."""
        parts = [loop.statistics for loop in self._loops if loop.statistics]
        names = parts[0] if parts else ()
        return {name: float(np.mean([part[name] for part in parts])) for name in names}
