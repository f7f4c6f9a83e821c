"""Demonstrations of a run: stored episodes beside those of its actors."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mukoe.agents.extensions import LearnsFromDemonstrations
from mukoe.errors import UserError
from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.common.offline_data import (
    OfflineData,
    check_data,
    learned_statistics,
    make_filled_replay,
)
from mukoe.layouts.common.reanalysis import ReplayReanalyser, make_replay_reanalyser
from mukoe.layouts.common.run_state import NamedArrays, pack, unpack
from mukoe.layouts.common.seeds import SeededPart, random_seed
from mukoe.learning.learner import Learner
from mukoe.replay.demonstrations import kept_episodes
from mukoe.replay.in_process import InProcessReplay, bytes_required
from mukoe.types import EnvironmentSpec, Policy


def check_demonstrations(experiment: ExperimentConfig, given: bool) -> None:
    """Checks that an experiment with actors has demonstrations where its agent learns from some.

    Args:
      experiment: agent, environment and settings.
      given: True for a run with demonstrations.

    Raises:
      UserError: the settings of the agent need demonstrations, or make nothing of them.
    """
    builder = experiment.builder
    if not isinstance(builder, LearnsFromDemonstrations):
        if given:
            raise UserError("--demonstrations is for agents that search, and this one does not")
        return
    has_fraction = builder.replay.demonstrated_items > 0
    if given and not has_fraction:
        raise UserError(
            "--demonstrations needs their fraction of a batch: set "
            "--config.agent.replay.demonstration_fraction, for example to 0.25"
        )
    if has_fraction and not given:
        raise UserError(
            "agent.replay.demonstration_fraction is above 0: name a run as --demonstrations, or "
            "set it to 0"
        )
    if builder.demonstrations.clones_actions and not given:
        raise UserError(
            "agent.cloning.mode is for stored data: name a run as --demonstrations or --offline, "
            "or set it to none"
        )


def select_demonstrations(
    data: OfflineData, experiment: ExperimentConfig, environment_spec: EnvironmentSpec
) -> OfflineData:
    """Returns the episodes that the table of demonstrations keeps, once they are checked.

    Args:
      data: episodes of a source.
      experiment: agent, environment and settings.
      environment_spec: spec of one environment.

    Raises:
      UserError: the agent cannot learn from the data, see `check_data`, or no episode fits the
        limit of the table.
    """
    builder = experiment.builder
    assert isinstance(builder, LearnsFromDemonstrations)
    settings = builder.demonstrations
    kept = kept_episodes(data.episodes, settings.capacity, settings.remover)
    data = dataclasses.replace(
        data, episodes=[data.episodes[index] for index in kept], shares=_kept_shares(data, kept)
    )
    declaration = builder.replay
    share = declaration.demonstrated_items / declaration.batch_size
    policy = builder.make_policy(builder.make_networks(environment_spec), environment_spec)
    check_data(data, experiment, environment_spec, policy, share)
    return data


def _kept_shares(data: OfflineData, kept: Sequence[int]) -> list[tuple[int, float]]:
    """Returns the shares of the sources of which episodes are kept, with a sum of 1."""
    ends = np.cumsum([count for count, _ in data.shares])
    counts = np.diff([0, *np.searchsorted(kept, ends)])
    pairs = [(int(n), share) for n, (_, share) in zip(counts, data.shares, strict=True) if n]
    total = sum(share for _, share in pairs)
    return [(count, share / total) for count, share in pairs]


def make_demonstrations(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    policy: Policy,
    data: OfflineData,
) -> "Demonstrations":
    """Builds the table of demonstrations of a run of one process.

    Args:
      experiment: agent, environment and settings.
      environment_spec: spec of one environment.
      policy: behaviour policy of the agent, whose extras are stored.
      data: result of `select_demonstrations`.
    """
    batch_size = experiment.builder.replay.demonstrated_items
    seed = random_seed(experiment.run, {}, SeededPart.DEMONSTRATIONS)
    replay = make_filled_replay(experiment, environment_spec, policy, data, batch_size, seed)
    return Demonstrations(replay, data.num_rows, data.missing_statistics(policy.extras_spec))


class Demonstrations:
    """Table of demonstrations of a run of one process, and their reanalysis."""

    def __init__(self, replay: InProcessReplay, num_rows: int, missing: Sequence[str]):
        """Takes the filled table; `reanalyse_with` makes its reanalyser.

        Args:
          replay: filled table.
          num_rows: number of its rows, final observations included.
          missing: search statistics that the agent stores and the rows do not have.
        """
        self.replay = replay
        self._num_rows = num_rows
        self._missing = missing
        self._reanalyser: ReplayReanalyser | None = None
        self._searches_first = False

    def reanalyse_with(
        self,
        experiment: ExperimentConfig,
        environment_spec: EnvironmentSpec,
        networks: Any,
        learner: Learner,
    ) -> None:
        """Builds the reanalyser of the table; there is none unless the mode is 'replay'.

        Args:
          experiment: agent, environment and settings.
          environment_spec: spec of one environment.
          networks: networks of the agent's builder.
          learner: source of the newest parameters.
        """
        self._reanalyser = make_replay_reanalyser(
            experiment,
            environment_spec,
            networks,
            self.replay,
            learner,
            demonstrations=True,
        )
        needed = learned_statistics(self._missing, experiment.builder)
        self._searches_first = self._reanalyser is not None and bool(needed)

    @property
    def is_searched(self) -> bool:
        """False until rows without search statistics have been searched once."""
        return not self._searches_first or self.rewritten >= self._num_rows

    @property
    def stage(self) -> tuple[str, int, int]:
        """Phase of the search of rows without search statistics, for the progress line."""
        return "searching demonstrations", self.rewritten, self._num_rows

    @property
    def rewritten(self) -> int:
        """Number of rewritten rows so far."""
        return self._reanalyser.rewritten if self._reanalyser else 0

    def step(self) -> None:
        """Rewrites the next rows; does nothing without a reanalyser."""
        if self._reanalyser is not None:
            self._reanalyser.step()

    @property
    def num_bytes(self) -> int:
        """Bytes of the table."""
        return bytes_required(self.replay.declaration, self.replay.row_spec, num_streams=1)

    def state(self) -> NamedArrays:
        """Returns the state of the table and of its reanalyser."""
        reanalyser = self._reanalyser.state() if self._reanalyser else {}
        return pack(replay=self.replay.state_dict(), reanalyser=reanalyser)

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Restores a `state`; an empty one changes nothing."""
        if state:
            self.replay.restore(unpack(state, "replay"))
            if self._reanalyser is not None:
                self._reanalyser.restore(unpack(state, "reanalyser"))
