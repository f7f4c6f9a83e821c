"""The log of an actor: steps per second, episodes, policy statistics and shares of time."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mukoe.acting.loop import LoopMetrics
from mukoe.acting.network_share import divide_policy, network_seconds
from mukoe.acting.variables import VariableClient
from mukoe.agents.extensions import ProfilesNetworks
from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.observability.loggers.base import Logger
from mukoe.observability.timings import time_columns
from mukoe.types import EnvironmentSpec, EpisodeResult


class ActorLog:
    """Writes one row per log period of an actor."""

    def __init__(self, logger: Logger, network_seconds: Callable[[], float] | None = None):
        """Starts the first log period.

        Args:
          logger: logger of the rows.
          network_seconds: function that returns the seconds of the networks in a policy call, by
            which the policy's time is divided; called once, at the first row.
        """
        self._logger = logger
        self._measure_network = network_seconds
        self._network_seconds: float | None = None
        self._since = time.monotonic()
        self._steps = 0
        self._episodes: list[EpisodeResult] = []

    def add(self, episodes: Sequence[EpisodeResult]) -> None:
        """Adds episodes that have ended."""
        self._episodes += episodes

    @property
    def unwritten(self) -> list[EpisodeResult]:
        """Episodes since the last row."""
        return list(self._episodes)

    def write(self, loop: LoopMetrics, counts: Mapping[str, int]) -> dict[str, float]:
        """Writes a row about the time since the last one.

        Args:
          loop: metrics of the actor's loop.
          counts: counts of the run.

        Returns:
          Report for the progress line: `last_return`, if an episode has ended.
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
            "acting_seconds": loop.timings.total,
        }
        if (share := loop.timings.cpu_share("environment")) is not None:
            row["environment_cpu"] = share
        report = {}
        if self._episodes:
            row |= summarize(self._episodes)
            report = {"last_return": row["episode_return"]}
        self._logger.write(row)
        self._since = time.monotonic()
        self._steps = loop.progress.steps
        self._episodes = []
        return report

    def time_shares(self, loop: LoopMetrics) -> dict[str, float]:
        """Returns the fractions of the acting time by part of the work."""
        parts = loop.timings.shares()
        calls = loop.timings.laps.get("policy", 0) / 2  # A request and a receive per call.
        if self._network_seconds is None or not calls:
            return parts
        per_call = loop.timings.seconds["policy"] / calls
        return divide_policy(parts, min(1.0, self._network_seconds / per_call))

    def close(self) -> None:
        """Closes the logger."""
        self._logger.close()


def summarize(episodes: Sequence[EpisodeResult]) -> dict[str, float]:
    """Returns means over episodes, and the extremes of their returns."""
    returns = [episode.episode_return for episode in episodes]
    return {
        "episode_return": float(np.mean(returns)),
        "episode_return_min": float(np.min(returns)),
        "episode_return_max": float(np.max(returns)),
        "episode_length": float(np.mean([episode.length for episode in episodes])),
    }


def make_network_timer(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    variables: VariableClient,
    batch_size: int,
) -> Callable[[], float] | None:
    """Returns the function that measures the networks' time in a call of a local policy.

    Args:
      experiment: agent, environment and settings.
      environment_spec: spec of one environment.
      variables: client of the parameters.
      batch_size: number of environments of a policy call.

    Returns:
      `() -> seconds`, for an `ActorLog`; None if the agent does not give its network calls.
    """
    builder = experiment.builder
    if not isinstance(builder, ProfilesNetworks):
        return None
    calls = builder.make_network_calls(builder.make_networks(environment_spec), environment_spec)
    if calls is None:
        return None
    observations = environment_spec.observations
    return lambda: network_seconds(calls, variables.params, observations, batch_size)
