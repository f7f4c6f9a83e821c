"""When checkpoints are written, and their content."""

from typing import NamedTuple

import numpy as np
import pytest

from mukoe.layouts.common import cadence
from mukoe.layouts.common.cadence import Timer, period_reached
from mukoe.layouts.common.checkpointing import (
    RestoredRun,
    RunCheckpointer,
    open_checkpointer,
    restore_run,
    run_state_writer,
    stored_counts,
)
from mukoe.layouts.common.experiment import RunConfig


@pytest.fixture
def clock(monkeypatch):
    """Wall time in seconds, as `now[0]`."""
    now = [0.0]
    monkeypatch.setattr(cadence.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("period", "count", "added", "expected"),
    [(0, 10, 10, False), (5, 4, 4, False), (5, 5, 1, True), (5, 7, 2, False), (5, 17, 13, True)],
)
def test_a_period_is_reached_at_each_multiple(period, count, added, expected):
    assert period_reached(period, count, added) is expected


def test_a_timer_is_due_when_its_period_has_passed(clock):
    timer = Timer(10.0)
    assert not timer.due
    clock[0] = 10.0
    assert timer.due
    timer.restart()
    assert not timer.due


class State(NamedTuple):
    steps: np.ndarray


class Learner:
    """Learner whose state is its step count."""

    steps = 0
    unsent = None

    def save(self):
        return State(np.int64(self.steps))

    def restore(self, state):
        self.steps = int(state.steps)

    def restore_unsent(self, unsent):
        self.unsent = unsent


class Replay:
    """Replay that keeps what it is restored from."""

    def restore(self, state):
        self.state = state


def test_checkpoints_are_written_by_time_by_steps_and_once_per_learner_step(tmp_path, clock):
    learner, states = Learner(), []
    run = RunConfig(checkpoint_seconds=10.0, checkpoint_period=50, replay_checkpoint_seconds=25.0)
    checkpointer = open_checkpointer(tmp_path, keep=10)
    checkpoints = RunCheckpointer(
        checkpointer,
        run,
        learner,
        lambda: {"learner_steps": learner.steps},
        lambda state, counts: states.append((int(state.steps), dict(counts))),
    )

    def saved(seconds, learner_steps, actor_steps=0, added=0):
        clock[0], learner.steps = seconds, learner_steps
        checkpoints.save_if_due(actor_steps, added)
        checkpointer.wait()
        return checkpointer.steps()

    assert saved(9.0, 1) == []
    assert saved(10.0, 2) == [2]
    assert saved(11.0, 3, actor_steps=51, added=2) == [2, 3]
    assert saved(12.0, 4, actor_steps=53, added=2) == [2, 3]
    assert states == []
    assert saved(25.0, 5) == [2, 3, 5] and states == [(5, {"learner_steps": 5})]
    # The learner step has a checkpoint; only the run state is written.
    checkpoints.save()
    assert checkpointer.steps() == [2, 3, 5] and len(states) == 2
    checkpoints.close(10.0)


def test_a_run_is_restored_with_its_replay(tmp_path):
    learner, checkpointer = Learner(), open_checkpointer(tmp_path)
    assert restore_run(checkpointer, learner, Replay()) == RestoredRun()
    assert stored_counts(tmp_path) == {}
    learner.steps = 7
    counts = {"actor_steps": 40, "learner_steps": 7}
    arrays = {"replay/rows": np.arange(3), "learner/skipped": np.zeros(2), "log/x": np.ones(1)}
    save_run_state = run_state_writer(checkpointer, {"actor_steps": 5}, lambda: arrays)
    checkpoints = RunCheckpointer(
        checkpointer, RunConfig(), learner, lambda: counts, save_run_state
    )
    checkpoints.save()
    checkpoints.close(10.0)
    assert stored_counts(tmp_path) == counts
    restored_learner, replay = Learner(), Replay()
    restored = restore_run(open_checkpointer(tmp_path), restored_learner, replay)
    assert restored.counts == counts and restored.start_counts == {"actor_steps": 5}
    assert restored_learner.steps == 7 and list(restored_learner.unsent) == ["skipped"]
    assert replay.state["rows"].tolist() == [0, 1, 2] and "log/x" in restored.state


def test_without_run_state_the_learner_and_the_counts_are_restored(tmp_path):
    learner, checkpointer = Learner(), open_checkpointer(tmp_path)
    learner.steps = 7
    counts = {"actor_steps": 40, "learner_steps": 7}
    run_state_writer(checkpointer, {}, dict)(learner.save(), counts)
    checkpointer.wait()
    checkpoints = RunCheckpointer(checkpointer, RunConfig(), learner, lambda: counts)
    checkpoints.save()
    checkpoints.close(10.0)
    # The older run state is behind the learner, and removed.
    assert not (tmp_path / "checkpoints" / "run").exists()
    restored = restore_run(checkpointer, Learner(), Replay())
    assert restored == RestoredRun(counts, counts)
