"""The logs of a run of one process: one of its actors, one of its learner."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mukoe.acting.loop import LoopMetrics
from mukoe.layouts.common.actor_log import ActorLog
from mukoe.layouts.common.counting import Counter
from mukoe.layouts.common.run_state import (
    NamedArrays,
    arrays_to_episodes,
    episodes_to_arrays,
    pack,
    unpack,
)
from mukoe.learning.learner import Learner
from mukoe.observability.clipped_targets import ClippedTargets
from mukoe.observability.loggers.factory import make_logger
from mukoe.replay.in_process import InProcessReplay
from mukoe.types import EpisodeResult


class RunLogger:
    """Logs of the actors, as one, and of the learner, and their reports to the counter.

    `add` may be called while another thread is in `write`, and does not wait for a disk.
    """

    def __init__(
        self,
        workdir: Path,
        counter: Counter,
        loop: LoopMetrics,
        learner: Learner,
        network_seconds: Callable[[], float] | None,
        loggers: Sequence[str],
    ):
        """Opens the logs.

        Args:
          workdir: directory of the run.
          counter: counter of the run, which receives the reports.
          loop: metrics of the actors.
          learner: learner whose time shares are logged.
          network_seconds: timer of the networks, see `ActorLog`.
          loggers: names of the loggers, see `make_logger`.
        """
        self._counter = counter
        self._loop = loop
        self._learner = learner
        actor_logger = make_logger(workdir, "actor_0", "actor_steps", loggers=loggers)
        self._actor_log = ActorLog(actor_logger, network_seconds)
        self._learner_log = make_logger(workdir, "learner", "learner_steps", loggers=loggers)
        self._clipped_targets = ClippedTargets()
        self._lock = threading.Lock()
        self._episodes: list[EpisodeResult] = []
        self._metrics: Mapping[str, Any] = {}
        self._counts: Mapping[str, int] = counter.get_counts()
        self._logged_steps = self._counts.get("actor_steps", 0)

    def add(
        self,
        counts: Mapping[str, int],
        episodes: Sequence[EpisodeResult],
        metrics: Mapping[str, Any],
    ) -> None:
        """Adds data to the next row.

        Args:
          counts: counts of the run.
          episodes: episodes that have ended since the last call.
          metrics: metrics of the last update, possibly still on the device; empty without one.
        """
        with self._lock:
            self._counts = counts
            self._episodes += episodes
            if metrics:
                self._metrics = metrics

    def write(self) -> None:
        """Writes a row of each log, if agent steps have been added since the last one."""
        with self._lock:
            counts, metrics = self._counts, self._metrics
            if counts.get("actor_steps", 0) == self._logged_steps:
                return
            self._actor_log.add(self._episodes)
            self._episodes = []
        self._logged_steps = counts.get("actor_steps", 0)
        self._counter.report(**self._actor_log.write(self._loop, counts))
        if metrics:
            self._learner_log.write({**counts, **metrics, **self._learner.time_columns()})
            self._counter.report(loss=float(metrics["loss"]))
            self._clipped_targets.check(metrics)

    def report_replay(self, replay: InProcessReplay) -> None:
        """Reports the fill of replay, for the progress line."""
        ratio = replay.sampled / max(1, replay.inserted)
        self._counter.report(replay_size=replay.size, samples_per_insert=ratio)

    def time_shares(self) -> dict[str, float]:
        """Returns the fractions of the acting time by part of the work."""
        return self._actor_log.time_shares(self._loop)

    def state(self) -> NamedArrays:
        """Returns the content of the next rows so far."""
        with self._lock:
            return pack(
                metrics={name: np.asarray(value) for name, value in self._metrics.items()},
                episodes=episodes_to_arrays([*self._actor_log.unwritten, *self._episodes]),
                steps={"logged": np.array(self._logged_steps, np.int64)},
            )

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Restores a `state`."""
        self._metrics = unpack(state, "metrics")
        self._episodes = arrays_to_episodes(unpack(state, "episodes"))
        self._logged_steps = int(state["steps/logged"])

    def close(self) -> None:
        """Closes the files."""
        self._actor_log.close()
        self._learner_log.close()
