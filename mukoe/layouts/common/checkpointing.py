"""Checkpoints of a run: when they are written, their content, and the restored run.

There are two kinds (see `mukoe.learning.checkpoint`). A `latest` checkpoint holds the learner and
the counts, and is written every `run.checkpoint_seconds` and every `run.checkpoint_period` agent
steps. The run state holds the replay too, and in the local layout all else that a run needs to
continue bit for bit; it is written with a `latest` checkpoint, at most every
`run.replay_checkpoint_seconds`.
"""

import dataclasses
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from mukoe.errors import UserError
from mukoe.layouts.common.cadence import Timer, period_reached
from mukoe.layouts.common.experiment import ExperimentConfig, RunConfig
from mukoe.layouts.common.run_state import NamedArrays, unpack
from mukoe.learning.checkpoint import Checkpointer
from mukoe.learning.learner import Learner
from mukoe.learning.update import LearnerState

_LOGGER = logging.getLogger(__name__)


class RestorableReplay(Protocol):
    """Replay whose content is part of a checkpoint."""

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Restores the content."""


SaveRunState = Callable[[LearnerState, Mapping[str, int]], None]
"""`(learner state, counts) -> None`: starts to write the run state."""


@dataclasses.dataclass(frozen=True)
class RestoredRun:
    """Checkpoint from which a run was restored; empty for a new run.

    counts: counts of the checkpoint.
    start_counts: counts from which the seeds of its environments and actors follow.
    state: arrays of the run state beside the learner's; empty without a run state.
    """

    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    start_counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    state: NamedArrays = dataclasses.field(default_factory=dict)


def open_checkpointer(workdir: Path, keep: int = 3) -> Checkpointer:
    """Returns the checkpointer of a workdir, which keeps the `keep` latest checkpoints."""
    return Checkpointer(workdir / "checkpoints", keep=keep)


def stored_counts(workdir: Path) -> dict[str, int]:
    """Returns the counts of the newest checkpoint; empty without a checkpoint."""
    checkpointer = open_checkpointer(workdir)
    if checkpointer.latest_step() is None:
        return {}
    return checkpointer.read_metadata()["counts"]


def restore_run(
    checkpointer: Checkpointer,
    learner: Learner,
    replay: RestorableReplay | None = None,
    other_config: bool = False,
) -> RestoredRun:
    """Restores the learner, and the replay where the run state was saved.

    Args:
      checkpointer: checkpoints of the run.
      learner: learner to restore; unchanged without a checkpoint.
      replay: replay to restore; None where it is restored elsewhere or not at all.
      other_config: True if another config may have written the checkpoint. A replay that does not
        fit is then collected anew.
    """
    restored = None if replay is None else checkpointer.restore_run(learner.save())
    if restored is not None:
        learner_state, state, metadata = restored
    elif checkpointer.latest_step() is not None:
        learner_state, metadata = checkpointer.restore(learner.save())
        state = {}
    else:
        return RestoredRun()
    learner.restore(learner_state)
    counts = metadata["counts"]
    if state:
        assert replay is not None
        try:
            replay.restore(unpack(state, "replay"))
        except UserError as error:
            if not other_config:
                raise
            _LOGGER.warning(f"the fork collects its replay anew, since that of its origin: {error}")
            return RestoredRun(counts, counts)
        learner.restore_unsent(unpack(state, "learner"))
    return RestoredRun(counts, metadata.get("start_counts", counts), state)


def run_state_writer(
    checkpointer: Checkpointer,
    start_counts: Mapping[str, int],
    arrays: Callable[[], NamedArrays],
) -> SaveRunState:
    """Returns the function that writes the run state into a checkpoint of its own.

    Args:
      checkpointer: checkpoints of the run.
      start_counts: counts from which the seeds of environments and actors followed.
      arrays: function that returns the arrays of the run state beside the learner's.
    """

    def save(state: LearnerState, counts: Mapping[str, int]) -> None:
        metadata = {"counts": dict(counts), "start_counts": dict(start_counts)}
        # A run on stored data has no agent steps.
        step = counts.get("actor_steps", counts.get("learner_steps", 0))
        checkpointer.save_run(step, state, arrays(), metadata)

    return save


def saves_replay(experiment: ExperimentConfig, num_bytes: int) -> bool:
    """Returns whether checkpoints hold the replay; warns where it is too large for that.

    Args:
      experiment: agent, environment and settings.
      num_bytes: size of a full replay.
    """
    run, gib = experiment.run, num_bytes / 2**30
    if run.replay_checkpoint_seconds == 0:
        return False
    if gib > run.replay_checkpoint_gib:
        _LOGGER.warning(
            f"a full replay of {gib:.1f} GiB is above run.replay_checkpoint_gib "
            f"({run.replay_checkpoint_gib:g}): a resumed run will fill it anew"
        )
        return False
    return True


class RunCheckpointer:
    """Writes the checkpoints of a run when they are due."""

    def __init__(
        self,
        checkpointer: Checkpointer,
        run: RunConfig,
        learner: Learner,
        counts: Callable[[], Mapping[str, int]],
        save_run_state: SaveRunState | None = None,
        restored: bool = False,
    ):
        """Starts the periods between checkpoints.

        Args:
          checkpointer: checkpoints of the run.
          run: settings of the run.
          learner: learner whose state is saved.
          counts: function that returns the counts saved with the learner.
          save_run_state: function that starts to write the run state; None not to save it. Run
            states of earlier processes are then removed, because they fall behind the learner.
          restored: True if the learner's state comes from a checkpoint.
        """
        self._checkpointer = checkpointer
        self._learner = learner
        self._counts = counts
        self._save_run_state = save_run_state
        self._period = run.checkpoint_period
        self._timer = Timer(run.checkpoint_seconds)
        self._run_state_timer = Timer(run.replay_checkpoint_seconds)
        self._saved_steps = learner.steps if restored else -1

    @property
    def saves_run_state(self) -> bool:
        """True if the run state is saved."""
        return self._save_run_state is not None

    def save_if_due(self, actor_steps: int = 0, added_steps: int = 0) -> None:
        """Starts to write a checkpoint if its period of time or of agent steps is over.

        Args:
          actor_steps: agent steps of the run so far.
          added_steps: agent steps since the last call.
        """
        if self._timer.due or period_reached(self._period, actor_steps, added_steps):
            self.save(with_run_state=self._run_state_timer.due)

    def save(self, with_run_state: bool = True) -> None:
        """Starts to write a checkpoint, unless this learner step has one already.

        Args:
          with_run_state: write the run state too, where it is saved at all.
        """
        self._timer.restart()
        with_run_state = with_run_state and self.saves_run_state
        if self._learner.steps != self._saved_steps or with_run_state:
            self._save(with_run_state)
        if not self.saves_run_state:
            self._checkpointer.remove_runs()

    def close(self, timeout_seconds: float) -> None:
        """Waits for the checkpoints that are being written, for at most `timeout_seconds`."""
        self._checkpointer.close(timeout_seconds)

    def _save(self, with_run_state: bool) -> None:
        counts, state = dict(self._counts()), self._learner.save()
        steps = int(state.steps)
        if steps != self._saved_steps:
            self._checkpointer.save(steps, state, {"counts": counts})
            self._saved_steps = steps
        if with_run_state:
            assert self._save_run_state is not None
            self._run_state_timer.restart()
            self._save_run_state(state, counts)
