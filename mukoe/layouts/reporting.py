"""What a run tells people, the same in every layout."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mukoe.acting.loop import EnvironmentLoop
from mukoe.layouts.experiment import ExperimentConfig
from mukoe.learning.checkpoint import Checkpointer
from mukoe.observability.loggers import Logger
from mukoe.observability.progress import Progress
from mukoe.types import EpisodeResult


class ActorLog:
    """The log of an actor."""

    def __init__(self, logger: Logger):
        self._logger = logger
        self._since = time.monotonic()
        self._steps = 0
        self._episodes: list[EpisodeResult] = []

    def add(self, episodes: Sequence[EpisodeResult]) -> None:
        """Takes the episodes that a step ended."""
        self._episodes += episodes

    def write(self, loop: EnvironmentLoop, counts: Mapping[str, int]) -> dict[str, float]:
        """Writes a row about the time since the last one.

        Returns:
          What the progress line shows: `last_return`, where an episode ended.
        """
        elapsed = time.monotonic() - self._since
        row = {
            **counts,
            "steps_per_second": (loop.progress.steps - self._steps) / max(elapsed, 1e-9),
            "parameter_age": counts.get("learner_steps", 0) - loop.learner_steps,
            **loop.statistics,
            **loop.timings.shares(),
        }
        report = {}
        if self._episodes:
            row |= summarise(self._episodes)
            report = {"last_return": row["episode_return"]}
        self._logger.write(row)
        self._since = time.monotonic()
        self._steps = loop.progress.steps
        self._episodes = []
        return report

    def close(self) -> None:
        """Closes the files."""
        self._logger.close()


def summarise(episodes: Sequence[EpisodeResult]) -> dict[str, float]:
    """Means over episodes, and the extremes of their returns."""
    returns = [episode.episode_return for episode in episodes]
    return {
        "episode_return": float(np.mean(returns)),
        "episode_return_min": float(np.min(returns)),
        "episode_return_max": float(np.max(returns)),
        "episode_length": float(np.mean([episode.length for episode in episodes])),
    }


def make_progress(
    experiment: ExperimentConfig, counts: dict[str, int], reports: dict[str, Any]
) -> Progress:
    """What the living line shows."""
    declaration = experiment.builder.replay
    learner_steps = counts.get("learner_steps", 0)
    size = reports.get("replay_size")
    progress = Progress(
        learner_steps=learner_steps,
        environment_frames=counts.get("environment_frames", 0),
        replay_fill=None if size is None else size / declaration.capacity,
        samples_per_insert=reports.get("samples_per_insert"),
        last_return=reports.get("last_return"),
        best_return=reports.get("best_return"),
        loss=reports.get("loss"),
        run_fraction=counts.get("actor_steps", 0) / experiment.run.max_actor_steps,
    )
    if "loss" in reports:
        return progress
    if size is None:
        return dataclasses.replace(progress, phase="starting")
    if size < declaration.min_size:
        return dataclasses.replace(
            progress,
            phase="filling replay",
            phase_done=size,
            phase_total=declaration.min_size,
        )
    return dataclasses.replace(progress, phase="compiling")


def counts_to_resume(workdir: Path) -> dict[str, int]:
    """The counts of the newest checkpoint; none where the run ended before its first."""
    checkpointer = Checkpointer(workdir / "checkpoints")
    if checkpointer.latest_step() is None:
        return {}
    return checkpointer.read_metadata()["counts"]


def what_next(workdir: Path) -> str:
    """Says where the checkpoint is and what can be typed next."""
    step = Checkpointer(workdir / "checkpoints").latest_step()
    if step is None:
        return f"ended before the first checkpoint; logs are in {workdir}"
    return (
        f"checkpoint of learner step {step}: {workdir / 'checkpoints' / 'latest' / str(step)}\n"
        f"go on with:  --resume --workdir={workdir} and a larger --max_actor_steps\n"
        f"look at it:  tensorboard --logdir {workdir / 'tensorboard'}"
    )
