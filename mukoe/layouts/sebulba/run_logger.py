"""What a run writes down, apart from the learner: a slow disk slows nobody."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mukoe.acting.loop import LoopProgress
from mukoe.acting.rollouts import Rollout
from mukoe.layouts.common.actor_log import ActorLog
from mukoe.layouts.common.counting import Counter
from mukoe.layouts.sebulba.collectors import Collector
from mukoe.learning.learner import Learner
from mukoe.observability.loggers.factory import make_logger
from mukoe.observability.timings import Timings, time_columns
from mukoe.replay.in_process import InProcessReplay
from mukoe.types import EpisodeResult


class RunLogger:
    """The logs of the actors, as one, and of the learner.

    `add` and `report` are called by the learner and never wait for a disk; `write` by one
    other thread, or by the learner where it takes turns with everybody.
    """

    def __init__(
        self,
        workdir: Path,
        log_seconds: float,
        counter: Counter,
        collectors: Sequence[Collector],
        learner: Learner,
        network_seconds: Callable[[], float] | None,
    ):
        """Opens the logs.

        Args:
          workdir: where they go.
          log_seconds: between two rows.
          counter: of the run; gets the reports.
          collectors: of the actors.
          learner: whose time shares are logged.
          network_seconds: as an `ActorLog` takes it.
        """
        self._log_seconds = log_seconds
        self._counter = counter
        self._learner = learner
        self._acting = _Acting(collectors)
        self._actor_log = ActorLog(make_logger(workdir, "actor_0", "actor_steps"), network_seconds)
        self._learner_log = make_logger(workdir, "learner", "learner_steps")
        self._lock = threading.Lock()
        self._episodes: list[EpisodeResult] = []
        self._metrics: Mapping[str, Any] = {}
        self._counts: Mapping[str, int] = counter.get_counts()
        self._logged: Mapping[str, int] = self._counts

    def add(
        self,
        counts: Mapping[str, int],
        rollouts: Sequence[Rollout],
        metrics: Mapping[str, Any],
        staleness: float,
    ) -> None:
        """Takes what the learner took, and what came of it.

        Args:
          counts: of the run, after this round.
          rollouts: of a round.
          metrics: of the last update, perhaps still on the device; empty for none.
          staleness: updates between the parameters that acted and those that learned from it.
        """
        with self._lock:
            self._counts = counts
            self._acting.add(rollouts)
            self._episodes += [episode for rollout in rollouts for episode in rollout.episodes]
            if metrics:
                self._metrics = {**metrics, "staleness": staleness}

    def report(self, replay: InProcessReplay | None, waiting: int) -> None:
        """Tells the counter how full replay is, and how many rollouts wait."""
        self._counter.report(rollouts_waiting=waiting)
        if replay is not None:
            ratio = replay.sampled / max(1, replay.inserted)
            self._counter.report(replay_size=replay.size, samples_per_insert=ratio)

    def write(self) -> None:
        """Writes a row of each log, where there is something new."""
        with self._lock:
            counts, metrics = self._counts, self._metrics
            episodes, self._episodes = self._episodes, []
        if counts is self._logged:
            return
        self._logged = counts
        self._actor_log.add(episodes)
        self._counter.report(**self._actor_log.write(self._acting, counts))
        if metrics:
            columns = time_columns(self._learner.time_shares())
            self._learner_log.write({**counts, **metrics, **columns})
            self._counter.report(loss=float(metrics["loss"]))

    def keep_writing(self, ended: threading.Event) -> None:
        """Writes now and then, until the run has ended."""
        while not ended.wait(self._log_seconds):
            self.write()

    def close(self) -> None:
        """Closes the files."""
        self._actor_log.close()
        self._learner_log.close()


class _Acting:
    """All actors as the one `Loop` that a log is about."""

    def __init__(self, collectors: Sequence[Collector]):
        self._collectors = collectors
        self._newest: Sequence[Rollout] = ()
        self.progress = LoopProgress(0, 0)

    def add(self, rollouts: Sequence[Rollout]) -> None:
        """Counts a round."""
        self._newest = rollouts
        self.progress = LoopProgress(
            self.progress.steps + sum(rollout.steps for rollout in rollouts),
            self.progress.frames + sum(rollout.frames for rollout in rollouts),
        )

    @property
    def timings(self) -> Timings:
        """The seconds of all actors together."""
        whole = Timings()
        for collector in self._collectors:
            for part, seconds in dict(collector.timings.seconds).items():
                whole.seconds[part] = whole.seconds.get(part, 0.0) + seconds
            for part, laps in dict(collector.timings.laps).items():
                whole.laps[part] = whole.laps.get(part, 0) + laps
        return whole

    @property
    def learner_steps(self) -> int:
        """The updates that made the parameters of the newest round."""
        return min(rollout.learner_steps for rollout in self._newest)

    @property
    def statistics(self) -> Mapping[str, float]:
        """Means of the policy's statistics at the last step of the newest round."""
        newest = [rollout.statistics for rollout in self._newest]
        return {n: float(np.mean([np.mean(np.asarray(s[n])) for s in newest])) for n in newest[0]}
