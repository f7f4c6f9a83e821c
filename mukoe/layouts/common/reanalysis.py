"""Reanalysis of the replay of a run of one process."""

from collections.abc import Mapping
from typing import Any, Protocol

import chex
import jax
import numpy as np

from mukoe.agents.extensions import Reanalyses, reanalyse_mode
from mukoe.errors import UserError
from mukoe.layouts.common.experiment import DistributedConfig, ExperimentConfig
from mukoe.layouts.common.run_state import NamedArrays
from mukoe.layouts.common.seeds import SeededPart, random_seed
from mukoe.learning.learner import Learner
from mukoe.learning.reanalysis import Reanalyse, change_metrics
from mukoe.replay.in_process.stretch import Stretch
from mukoe.types import Array, EnvironmentSpec, Nest, PolicyParams, Row

# Least number of rows of a step: an action, and a final observation.
_LEAST_ROWS = 2


class RewritableReplay(Protocol):
    """Replay whose extras can be rewritten, in this process or served by another one.

    inserted: number of items added so far.
    """

    @property
    def inserted(self) -> int: ...

    def stretch(self, first: int, size: int) -> Stretch:
        """Returns `size` rows of the items from key `first` on."""

    def rewrite(self, stretch: Stretch, extras: Mapping[str, Nest]) -> None:
        """Writes extras `[N, ...]` of a stretch; skips padding and rows of removed items."""


def make_replay_reanalyser(
    experiment: ExperimentConfig,
    environment_spec: EnvironmentSpec,
    networks: Any,
    replay: RewritableReplay,
    learner: Learner,
    demonstrations: bool = False,
) -> "ReplayReanalyser | None":
    """Builds the reanalyser of a run; None if the agent's replay is not rewritten.

    Args:
      experiment: agent, environment and settings.
      environment_spec: spec of one environment.
      networks: networks of the agent's builder.
      replay: replay to rewrite.
      learner: source of the newest parameters.
      demonstrations: True for the table of demonstrations, whose share of the rows of an update
        is that of a batch.
    """
    builder = experiment.builder
    if reanalyse_mode(builder) != "replay":
        return None
    assert isinstance(builder, Reanalyses)
    part = SeededPart.DEMONSTRATIONS if demonstrations else SeededPart.REANALYSIS
    seed = random_seed(experiment.run, {}, part)
    rows = builder.reanalyse.rows_per_update
    demonstrated = round(builder.replay.demonstrated_fraction * rows)
    return ReplayReanalyser(
        builder.make_reanalyse(networks, environment_spec),
        replay,
        learner,
        jax.random.PRNGKey(seed),
        max(demonstrated if demonstrations else rows - demonstrated, _LEAST_ROWS),
    )


class ReplayReanalyser:
    """Rewrites the search statistics in replay with the newest parameters, oldest first.

    A pass goes from the oldest item to the newest one, and then starts again.
    """

    def __init__(
        self,
        reanalyse: Reanalyse,
        replay: RewritableReplay,
        learner: Learner,
        random_key: chex.PRNGKey,
        rows_per_update: int,
    ):
        """Builds the reanalyser; nothing is compiled before the first step.

        Args:
          reanalyse: function of the new statistics.
          replay: replay to rewrite.
          learner: source of the parameters, on whose devices the statistics are computed.
          random_key: key of the searches, into which those of a step fold the number of updates and
            the position in the pass.
          rows_per_update: number of rows of a step.
        """
        self._replay = replay
        self._learner = learner
        self._key = random_key
        self._rows = rows_per_update
        self._next_key = 0
        self._rewritten = 0

        def compute(
            params: PolicyParams, key: chex.PRNGKey, position: Array, windows: Row
        ) -> tuple[Mapping[str, Array], dict[str, Array]]:
            key = jax.random.fold_in(jax.random.fold_in(key, position), params.learner_steps)
            statistics = reanalyse(params, key, windows)
            return statistics, change_metrics(windows, statistics)

        self._compute = jax.jit(compute)

    def step(self) -> dict[str, Any]:
        """Rewrites the next rows, after an update.

        Returns:
          The change of the statistics, and `reanalysed_per_step`, the rewritten rows per stored
          step.
        """
        with self._learner.measure("reanalysis"):
            stretch = self._replay.stretch(self._next_key, self._rows)
            statistics, metrics = self._compute(
                self._learner.device_variables(),
                self._key,
                np.uint32(self._next_key),
                self._place(stretch.rows),
            )
            extras = jax.tree.map(lambda x: np.asarray(x)[: self._rows], statistics)
            self._replay.rewrite(stretch, extras)
        self._next_key = stretch.next_key
        self._rewritten += stretch.num_rows
        return {**metrics, "reanalysed_per_step": self._rewritten / self._replay.inserted}

    @property
    def has_finished_pass(self) -> bool:
        """True once the newest item was rewritten, until the next step starts a pass."""
        return self._next_key >= self._replay.inserted

    @property
    def rewritten(self) -> int:
        """Number of rewritten rows so far."""
        return self._rewritten

    def _place(self, windows: Row) -> Row:
        """Returns windows on the learner's devices, with padding so that they share evenly."""
        sharding = self._learner.batch_sharding
        padding = -self._rows % sharding.mesh.size
        return jax.device_put(jax.tree.map(lambda rows: _pad(rows, padding), windows), sharding)

    def state(self) -> NamedArrays:
        """Returns the position in the pass and the number of rewritten rows."""
        return {"position": np.array([self._next_key, self._rewritten], np.int64)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Restores a `state`; an empty one starts a pass."""
        if state:
            self._next_key, self._rewritten = state["position"].tolist()


def check_reanalysis_in_process(experiment: ExperimentConfig) -> None:
    """Checks the reanalysis of a run of one process.

    Raises:
      UserError: `agent.reanalyse.mode` is 'nodes', or an update rewrites more rows than there are.
    """
    builder = experiment.builder
    _check_rows(experiment)
    if reanalyse_mode(builder) == "nodes":
        raise UserError(
            "agent.reanalyse.mode=nodes needs the nodes of a program: train with "
            "--layout=distributed, or set agent.reanalyse.mode to learner or replay"
        )


def _check_rows(experiment: ExperimentConfig) -> None:
    builder = experiment.builder
    if isinstance(builder, Reanalyses) and builder.reanalyse.mode == "replay":
        rows, capacity = builder.reanalyse.rows_per_update, builder.replay.capacity
        if rows > capacity:
            raise UserError(
                f"agent.reanalyse.rows_per_update {rows} must not be above agent.replay.capacity "
                f"{capacity}: an update rewrites each row at most once"
            )


def dividing_flags(distributed: DistributedConfig) -> list[str]:
    """Returns the flags that divide the rows and the batches of a program's replay."""
    counts = {"--num_replays": distributed.num_replays, "--num_learners": distributed.num_learners}
    return [flag for flag, count in counts.items() if count > 1]


def check_reanalysis_in_program(
    experiment: ExperimentConfig, rewrites: bool, demonstrations: bool
) -> None:
    """Checks the reanalysis of a program graph.

    Args:
      experiment: agent, environment and settings.
      rewrites: True if rows of the replay service can be rewritten.
      demonstrations: True for a run with demonstrations.

    Raises:
      UserError: `agent.reanalyse.mode` is 'replay' where rows cannot be rewritten, or are divided
        over several nodes or tables; it is 'nodes' without reanalysers; or there are reanalysers
        for another mode.
    """
    _check_rows(experiment)
    mode = reanalyse_mode(experiment.builder)
    num_reanalysers = experiment.distributed.num_reanalysers
    if mode == "nodes" and not num_reanalysers:
        raise UserError("agent.reanalyse.mode=nodes needs reanalysers: set --num_reanalysers=1")
    if num_reanalysers and mode != "nodes":
        raise UserError(
            f"{num_reanalysers} reanalysers have no work with agent.reanalyse.mode={mode}: set "
            "--config.agent.reanalyse.mode=nodes, or leave --num_reanalysers out"
        )
    if mode == "replay" and not rewrites:
        raise UserError(
            "agent.reanalyse.mode=replay rewrites the rows of replay, and the items of a Reverb "
            "server cannot be changed: train with --runtime=zeromq, --layout=local or "
            "--layout=sebulba"
        )
    several = ["--demonstrations"] if demonstrations else []
    several += dividing_flags(experiment.distributed)
    if mode == "replay" and several:
        given = " and ".join(several)
        raise UserError(
            f"agent.reanalyse.mode=replay rewrites one table, in one learner: leave {given} out, "
            "or set agent.reanalyse.mode=learner"
        )


def _pad(rows: Array, padding: int) -> Array:
    """Appends rows of zeros."""
    return np.pad(rows, [(0, padding)] + [(0, 0)] * (rows.ndim - 1)) if padding else rows
