"""Loops of an actor and its environments, for actors and evaluators."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import dm_env
import numpy as np

from mukoe.acting.actor import Actor
from mukoe.environments.vector import VectorEnvironment
from mukoe.observability.timings import Timings
from mukoe.types import EpisodeResult


class LoopProgress(NamedTuple):
    """Progress of a loop.

    steps: agent steps of all environments.
    frames: emulator frames of all environments.
    """

    steps: int
    frames: int


class PlayedEpisodes(NamedTuple):
    """Episodes of `EnvironmentLoop.run_episodes`.

    results: results, in the order of the ends of the episodes.
    cut_off: number of results of episodes that were cut off.
    """

    results: list[EpisodeResult]
    cut_off: int


class LoopMetrics(Protocol):
    """Progress, time and statistics of a loop, as a log shows them."""

    @property
    def timings(self) -> Timings:
        """Seconds by part of the work."""

    @property
    def progress(self) -> LoopProgress:
        """Steps and frames so far."""

    @property
    def learner_steps(self) -> int:
        """Learner steps of the parameters that chose the last actions."""

    @property
    def statistics(self) -> Mapping[str, float]:
        """Means over environments of the policy's statistics at the last step."""


class Loop(LoopMetrics, Protocol):
    """Loop of an actor and its environments."""

    def step(self) -> list[EpisodeResult]:
        """Makes one step and returns the episodes that ended with it."""


class EnvironmentLoop:
    """Loop of one vector of environments and its actor."""

    def __init__(
        self, environment: VectorEnvironment, actor: Actor, timings: Timings | None = None
    ):
        """Builds the loop; the first step resets the environments.

        Args:
          environment: vector of `B` environments.
          actor: actor over `B` environments.
          timings: shared timings, for an actor with several loops. The parts of the work are
            `environment`, `policy`, `recording` (which includes the wait for a full replay) and
            `other`; the first policy call is left out, because it compiles.
        """
        self._environment = environment
        self._actor = actor
        self._timestep: dm_env.TimeStep | None = None
        self._steps = 0
        self._has_acted = False
        self.timings = timings or Timings()

    def step(self) -> list[EpisodeResult]:
        """Makes one step in every environment and returns the episodes that ended with it."""
        self.begin()
        return self.finish()

    def begin(self) -> None:
        """Starts a step: requests the actions that `finish` waits for."""
        self.timings.start()
        if self._timestep is None:
            self._timestep = self._environment.reset()
            self._actor.observe_first(self._timestep)
            self.timings.lap("environment")
        self._actor.request(self._timestep.observation)
        self._lap_policy()

    def finish(self) -> list[EpisodeResult]:
        """Completes the step started by `begin` and returns the episodes that ended with it."""
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
        max_steps: int | None = None,
    ) -> PlayedEpisodes:
        """Resets the environments, plays whole episodes and returns their results.

        Each environment contributes the same number of episodes (or one more), so that
        short episodes are not overrepresented.

        Args:
          num_episodes: number of results.
          should_stop: called before every step; True ends the loop with fewer results.
          on_result: called with each result.
          max_steps: agent steps after which an episode is cut off. It contributes the sum of its
            rewards so far, and its environment no further episodes.
        """
        self._timestep = None
        num_envs = self._environment.num_envs
        wanted = np.full(num_envs, num_episodes // num_envs)
        wanted[: num_episodes % num_envs] += 1
        lengths, returns = np.zeros(num_envs, int), np.zeros(num_envs)
        played = PlayedEpisodes([], 0)
        while wanted.sum() > 0 and not should_stop():
            results = [result for result in self.step() if wanted[result.environment] > 0]
            for result in results:
                wanted[result.environment] -= 1
            assert self._timestep is not None
            running = ~self._timestep.first()
            lengths = np.where(running, lengths + 1, 0)
            # Of several players, the first component is the agent's.
            rewards = np.reshape(self._timestep.reward, (num_envs, -1))[:, 0]
            returns = np.where(running, returns + rewards, 0.0)
            if max_steps is not None:
                cut = (wanted > 0) & (lengths >= max_steps) & ~self._timestep.last()
                results += [self._cut_off(i, returns[i], lengths[i]) for i in np.flatnonzero(cut)]
                wanted[cut] = 0
                played = played._replace(cut_off=played.cut_off + int(cut.sum()))
            for result in results:
                played.results.append(result)
                on_result(result)
        return played

    def _cut_off(self, index: int, episode_return: float, length: int) -> EpisodeResult:
        frames = int(length) * self._environment.action_repeat
        return EpisodeResult(float(episode_return), int(length), frames, environment=int(index))

    def resume(self, timestep: dm_env.TimeStep) -> None:
        """Continues from the last time step of a restored vector and a restored actor."""
        self._timestep = timestep

    @property
    def num_envs(self) -> int:
        """Number of environments, `B`."""
        return self._environment.num_envs

    @property
    def progress(self) -> LoopProgress:
        """Steps and frames so far."""
        return LoopProgress(self._steps, self._steps * self._environment.action_repeat)

    @property
    def learner_steps(self) -> int:
        """Learner steps of the parameters that chose the last actions."""
        return self._actor.learner_steps

    @property
    def statistics(self) -> Mapping[str, float]:
        """Means over environments of the policy's statistics at the last step."""
        return {name: float(np.mean(v)) for name, v in self._actor.statistics.items()}

    def _lap_policy(self) -> None:
        if self._has_acted:
            self.timings.lap("policy")
        else:
            self.timings.start()


class DoubleBufferedLoop:
    """Loop that steps one part of the environments while the others wait for their actions.

        part 0   search |step| search |step| search
        part 1      |step| search |step| search |step

    Each part is a loop with its own environments, actor and policy state, so the recorded
    streams equal those of separate loops.
    """

    def __init__(self, loops: Sequence[EnvironmentLoop]):
        """Alternates between `loops`, which share their timings."""
        self._loops = loops
        self._next = 0
        self._begun = False
        self.timings = loops[0].timings

    def step(self) -> list[EpisodeResult]:
        """Makes one step in the environments of the next part.

        Returns:
          The episodes that ended with it; environments are numbered over all parts.
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
        """Steps and frames of all parts so far."""
        parts = [loop.progress for loop in self._loops]
        return LoopProgress(sum(p.steps for p in parts), sum(p.frames for p in parts))

    @property
    def learner_steps(self) -> int:
        """Learner steps of the parameters that chose the last actions."""
        return max(loop.learner_steps for loop in self._loops)

    @property
    def statistics(self) -> Mapping[str, float]:
        """Means over the parts of the policy's statistics at their last steps."""
        parts = [loop.statistics for loop in self._loops if loop.statistics]
        names = parts[0] if parts else ()
        return {name: float(np.mean([part[name] for part in parts])) for name in names}
