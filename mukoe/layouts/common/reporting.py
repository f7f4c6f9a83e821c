"""What a run tells people, the same in every layout."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mukoe.acting.loop import Acting
from mukoe.acting.network_share import divide_policy, network_seconds
from mukoe.acting.variables import VariableClient
from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.learning.checkpoint import Checkpointer
from mukoe.observability.loggers.base import Logger
from mukoe.observability.progress import Progress
from mukoe.observability.timings import time_columns
from mukoe.types import EnvironmentSpec, EpisodeResult


def make_network_timer(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    variables: VariableClient,
    batch_size: int,
) -> Callable[[], float] | None:
    """Returns what measures the network's part of a local policy's call, for an `ActorLog`.

    None where the agent does not say which part that is.

    Args:
      experiment: agent, environment and settings.
      environment_spec: of one environment.
      variables: where the parameters come from.
      batch_size: environments of a call.
    """
    builder = experiment.builder
    calls = builder.make_network_calls(builder.make_networks(environment_spec), environment_spec)
    if calls is None:
        return None
    observations = environment_spec.observations
    return lambda: network_seconds(calls, variables.params, observations, batch_size)


class ActorLog:
    """The log of an actor."""

    def __init__(self, logger: Logger, network_seconds: Callable[[], float] | None = None):
        """Logs to `logger`.

        Args:
          logger: gets the rows.
          network_seconds: measures what the networks take of a policy call, to divide the
            policy's time; called once, at the first row.
        """
        self._logger = logger
        self._measure_network = network_seconds
        self._network_seconds: float | None = None
        self._since = time.monotonic()
        self._steps = 0
        self._episodes: list[EpisodeResult] = []

    def add(self, episodes: Sequence[EpisodeResult]) -> None:
        """Takes the episodes that a step ended."""
        self._episodes += episodes

    @property
    def unwritten(self) -> list[EpisodeResult]:
        """The episodes that the next row will be about."""
        return list(self._episodes)

    def write(self, loop: Acting, counts: Mapping[str, int]) -> dict[str, float]:
        """Writes a row about the time since the last one.

        Returns:
          What the progress line shows: `last_return`, where an episode ended.
        """
        elapsed = time.monotonic() - self._since
        if self._network_seconds is None and self._measure_network is not None:
            self._network_seconds = self._measure_network()
        row = {
            **counts,
            "steps_per_second": (loop.progress.steps - self._steps) / max(elapsed, 1e-9),
            "parameter_age": counts.get("learner_steps", 0) - loop.learner_steps,
            **loop.statistics,
            **time_columns(self.time_shares(loop)),
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

    def time_shares(self, loop: Acting) -> dict[str, float]:
        """Fractions of the acting time by part of the work."""
        parts = loop.timings.shares()
        calls = loop.timings.laps.get("policy", 0) / 2  # To ask, and to wait.
        if self._network_seconds is None or not calls:
            return parts
        per_call = loop.timings.seconds["policy"] / calls
        return divide_policy(parts, min(1.0, self._network_seconds / per_call))

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


_PARTS = (
    *("network", "tree", "policy", "environment", "recording", "transport", "waiting"),
    *("data", "transfer", "update", "other"),
)


def time_line(
    acting: Sequence[Mapping[str, float]], learning: Mapping[str, float] | None
) -> str | None:
    """Says where the time went, or None where nothing was measured.

    Args:
      acting: shares of each actor, of which the mean is shown.
      learning: shares of the learner.
    """
    names = {name for shares in acting for name in shares}
    parts = {n: float(np.mean([shares.get(n, 0.0) for shares in acting])) for n in names}
    groups = {"acting": parts, "learning": learning or {}}
    texts = [f"{name}: {text}" for name, group in groups.items() if (text := _percentages(group))]
    return "   ".join(["time", *texts]) if texts else None


def acting_report(index: int) -> str:
    """Under which name the counter gets the shares of an actor's time."""
    return f"time_acting_{index}"


def reported_time_line(reports: Mapping[str, Any]) -> str | None:
    """The `time_line` of a program, from the reports of its counter."""
    acting = [reports[name] for name in reports if name.startswith("time_acting_")]
    return time_line(acting, reports.get("time_learning"))


def _percentages(parts: Mapping[str, float]) -> str:
    shown = [part for part in _PARTS if parts.get(part, 0.0) >= 0.005]
    return " ".join(f"{part} {100 * parts[part]:.0f}%" for part in shown)


def make_progress(
    experiment: ExperimentConfig, counts: dict[str, int], reports: dict[str, Any]
) -> Progress:
    """What the living line shows."""
    learner_steps = counts.get("learner_steps", 0)
    declaration = None if experiment.builder.rollout else experiment.builder.replay
    size = reports.get("replay_size")
    progress = Progress(
        learner_steps=learner_steps,
        environment_frames=counts.get("environment_frames", 0),
        replay_fill=size / declaration.capacity if declaration and size is not None else None,
        samples_per_insert=reports.get("samples_per_insert"),
        last_return=reports.get("last_return"),
        best_return=reports.get("best_return"),
        loss=reports.get("loss"),
        run_fraction=counts.get("actor_steps", 0) / experiment.run.max_actor_steps,
    )
    if "loss" in reports:
        return progress
    if declaration is None or size is None:
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
