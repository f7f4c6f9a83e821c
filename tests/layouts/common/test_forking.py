"""Forks continue from a checkpoint of their origin, and differ by what was changed."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from mukoe.configuration import apply_overrides, prepare_workdir
from mukoe.configuration.workdir import FORK_FILE
from mukoe.errors import UserError
from mukoe.layouts.common.forking import copy_fork, find_fork_point
from mukoe.learning.checkpoint import Checkpointer
from tests.layouts.finished import logged
from tests.layouts.local.test_resuming import assert_same_run, everything
from tests.layouts.tiny import tiny, train

STEPS, MORE = 240, 280


def config(steps=MORE, learning_rate=None):
    periods = {"evaluation_period": 50, "checkpoint_period": 60, "keep_checkpoints": 9}
    made = tiny(max_actor_steps=steps, **periods)
    if learning_rate is None:
        return made
    optimizer = dataclasses.replace(made.agent.optimizer, learning_rate=learning_rate)
    return dataclasses.replace(made, agent=dataclasses.replace(made.agent, optimizer=optimizer))


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """Workdir of a finished run with checkpoints of the learner on the way."""
    workdir = tmp_path_factory.mktemp("forked") / "origin"
    prepare_workdir(workdir, config(STEPS), None, resume=False)
    train(config(STEPS), workdir)
    return workdir


@pytest.fixture(scope="module")
def points(origin):
    """Agent steps of the checkpoints."""
    checkpointer = Checkpointer(origin / "checkpoints")
    counts = [checkpointer._latest.read_metadata(step) for step in checkpointer.steps()]
    steps = [found["counts"]["actor_steps"] for found in counts]
    assert len(steps) == 4 and steps[1] < STEPS <= steps[-1]
    return steps


def test_points_are_named_by_agent_steps(origin, points):
    newest = find_fork_point(str(origin))
    assert newest.origin == origin and newest.actor_steps == points[-1]
    assert {path.parts[0] for path in newest.checkpoints} == {"run", "latest"}
    earlier = find_fork_point(f"{origin}@{points[1]}")
    assert earlier.actor_steps == points[1]
    assert [path.parts[0] for path in earlier.checkpoints] == ["latest"]


def test_other_points_are_refused(origin, points, tmp_path):
    listed = ", ".join(map(str, points))
    with pytest.raises(UserError, match=rf"has no checkpoint at 7 steps; it has some at {listed}$"):
        find_fork_point(f"{origin}@7")
    with pytest.raises(UserError, match="holds no experiment"):
        find_fork_point(str(tmp_path))
    shutil.copy(origin / "config.json", tmp_path)
    with pytest.raises(UserError, match="has no checkpoint to fork from"):
        find_fork_point(str(tmp_path))


def test_a_workdir_with_a_run_is_left_alone(origin, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="already holds an experiment: give another --workdir"):
        copy_fork(find_fork_point(str(origin)), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_logs_end_at_the_checkpoint_and_the_origin_is_recorded(origin, points, tmp_path):
    workdir = tmp_path / "fork"
    copy_fork(find_fork_point(f"{origin}@{points[1]}"), workdir)
    kept = [row for row in logged(origin)["evaluator"] if float(row["actor_steps"]) <= points[1]]
    assert kept and logged(workdir)["evaluator"] == kept
    assert len(logged(origin)["evaluator"]) > len(kept)
    fork = json.loads((workdir / FORK_FILE).read_text())
    assert fork == {"origin": str(origin), "actor_steps": points[1]}
    assert [path.name for path in tmp_path.iterdir()] == ["fork"]


@pytest.fixture(scope="module")
def continued(origin, tmp_path_factory):
    """Workdir of the origin, which ran on."""
    workdir = tmp_path_factory.mktemp("continued") / "origin"
    shutil.copytree(origin, workdir)
    train(config(), workdir, resume=True)
    return workdir


def test_a_fork_without_a_change_equals_its_origin_bit_for_bit(origin, continued, tmp_path):
    copy_fork(find_fork_point(str(origin)), tmp_path / "fork")
    train(config(), tmp_path / "fork", resume=True)
    assert_same_run(tmp_path / "fork", continued)


def test_with_a_learning_rate_of_0_a_fork_keeps_the_weights_of_its_origin(
    origin, continued, tmp_path
):
    workdir = tmp_path / "fork"
    copy_fork(find_fork_point(str(origin)), workdir)
    before = everything(workdir)[0]
    assert train(config(learning_rate=0.0), workdir, resume=True) == 0
    after, others = everything(workdir)[0], everything(continued)[0]
    weights = [name for name in before if name.startswith("['params']") or ".params" in name]
    assert weights
    for name in weights:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert any((others[name] != before[name]).any() for name in weights)


@pytest.mark.parametrize(
    "field, value",
    [
        pytest.param("run.evaluation_episodes", "3", marks=pytest.mark.slow),
        pytest.param("run.envs_per_actor", "2", marks=pytest.mark.slow),
        # The rows of the origin lack the learner steps.
        pytest.param("agent.loss.max_age", "50", marks=pytest.mark.slow),
        ("agent.replay.capacity", "40"),
        ("agent.reanalyse.mode", "replay"),
    ],
)
def test_a_fork_may_change_what_the_state_of_its_origin_does_not_fit(
    origin, tmp_path, field, value
):
    changed = apply_overrides(config(), {field: value})
    copy_fork(find_fork_point(str(origin)), tmp_path / "fork")
    assert train(changed, tmp_path / "fork", resume=True) == 0
    evaluations = logged(tmp_path / "fork")["evaluator"]
    assert float(evaluations[-1]["actor_steps"]) > STEPS
    # A resumed fork has a state of its own.
    more = apply_overrides(changed, {"run.max_actor_steps": str(MORE + 40)})
    assert train(more, tmp_path / "fork", resume=True) == 0
