"""Workdirs as reports read them, complete and damaged ones."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from mukoe.errors import UserError
from mukoe.observability.report.runs import find_workdirs, load_run
from tests.observability.fake_runs import BATCH_SIZE, make_run, write_log


def column(path, name):
    with open(path, newline="") as file:
        return np.array([float(row[name]) for row in csv.DictReader(file)])


def test_numbers_are_those_of_the_files(tmp_path):
    workdir = make_run(tmp_path / "a", seed=3, returns=(5.0, 9.0, 7.0))
    run = load_run(workdir)
    assert [log.label for log in run.logs] == ["actor_0", "actor_1", "evaluator", "learner"]
    assert (run.seed, run.environment, run.failure, run.notes) == (3, "CartPole-v1", None, ())
    assert run.highest("actor_steps") == 3000
    assert run.highest("episodes") == 3000 // 25
    assert run.minutes == pytest.approx(3000 * 0.3 / 60)
    np.testing.assert_array_equal(run.evaluations(), [5.0, 9.0, 7.0])
    loss = next(log for log in run.logs if log.label == "learner").columns["loss"]
    np.testing.assert_array_equal(loss, column(workdir / "logs" / "learner.csv", "loss"))


def test_an_environment_without_a_name_has_that_of_its_class(tmp_path):
    run = load_run(make_run(tmp_path / "a", env=None))
    assert run.environment == "run"
    config = {**run.config, "environment.class": "package.module:RepeatFirstConfig"}
    assert dataclasses.replace(run, config=config).environment == "RepeatFirst"
    named = {**config, "environment.env": "CartPole-v1"}
    assert dataclasses.replace(run, config=named).environment == "CartPole-v1"


def test_rates_of_the_learner_come_from_its_counts(tmp_path):
    workdir = make_run(tmp_path / "a")
    path = workdir / "logs" / "learner.csv"
    steps, seconds = column(path, "learner_steps"), column(path, "wall_time")
    (log,) = load_run(workdir).kind("learner")
    rate = log.columns["learner_steps_per_second"]
    assert np.isnan(rate[0])
    expected = [(steps[i] - steps[i - 1]) / (seconds[i] - seconds[i - 1]) for i in range(1, 8)]
    np.testing.assert_allclose(rate[1:], expected)
    np.testing.assert_allclose(
        log.columns["samples_per_actor_step"],
        steps * BATCH_SIZE / column(path, "actor_steps"),
    )


def test_actors_are_in_the_order_of_their_numbers(tmp_path):
    run = load_run(make_run(tmp_path / "a", num_actors=11))
    labels = [log.label for log in run.kind("actor")]
    assert labels == [f"actor_{number}" for number in range(11)]


def test_torn_last_line_is_skipped_with_a_note(tmp_path):
    workdir = make_run(tmp_path / "a")
    path = workdir / "logs" / "evaluator.csv"
    whole = path.read_text()
    path.write_text(whole + "16000,4000,160,500,9999")
    run = load_run(workdir)
    np.testing.assert_array_equal(run.evaluations(), [10.0, 50.0, 40.0])
    assert run.notes == ("evaluator.csv has a torn line, left out",)
    assert path.read_text().endswith("9999"), "reading changes nothing"


def test_missing_and_damaged_files_are_noted(tmp_path):
    workdir = make_run(tmp_path / "a", returns=())
    (workdir / "logs" / "learner.csv").write_text("")
    (workdir / "evaluation.json").write_text("{")
    (workdir / "command.json").unlink()
    run = load_run(workdir)
    assert run.evaluation is None
    assert run.command is None
    assert run.notes[:2] == ("no evaluator log", "learner.csv is empty")
    assert run.notes[2].startswith("evaluation.json cannot be read")


def test_clipped_targets_are_noted_with_the_field(tmp_path):
    workdir = make_run(tmp_path / "a")
    path = workdir / "logs" / "learner.csv"
    header, *rows = path.read_text().splitlines()
    shares = ["0.0", "0.25", *["0.0"] * (len(rows) - 2)]
    lines = [f"{row},{share}" for row, share in zip(rows, shares, strict=True)]
    path.write_text("\n".join([f"{header},values_outside_bins", *lines, ""]))
    (note,) = load_run(workdir).notes
    assert note.startswith("25% of the value targets lie outside")
    assert "agent.network.value_support" in note


def test_workdir_without_logs(tmp_path):
    workdir = make_run(tmp_path / "a")
    for path in (workdir / "logs").iterdir():
        path.unlink()
    run = load_run(workdir)
    assert run.notes == ("no learner log", "no actor log", "no evaluator log")
    assert run.highest("actor_steps") is None
    assert run.minutes is None


def test_non_finite_numbers_are_skipped_with_a_note(tmp_path):
    workdir = make_run(tmp_path / "a")
    rows = [{"actor_steps": i, "loss": value} for i, value in enumerate([1.0, np.nan, np.inf])]
    (workdir / "logs" / "learner.csv").unlink()
    write_log(workdir, "learner", rows)
    run = load_run(workdir)
    assert "learner.csv: loss is not finite in 2 rows" in run.notes
    (log,) = run.kind("learner")
    np.testing.assert_array_equal(log.columns["loss"], [1.0, np.nan, np.nan])


def test_failure_is_read(tmp_path):
    workdir = make_run(tmp_path / "a")
    failure = {"node": "actor_1", "error": "ValueError: no\nsuch thing", "traceback": "..."}
    (workdir / "failure.json").write_text(json.dumps(failure))
    assert load_run(workdir).failure == "actor_1: ValueError: no such thing"
    (workdir / "failure.json").write_text("")
    assert load_run(workdir).failure == "failed; failure.json has no error"


def test_workdirs_are_found_at_any_depth(tmp_path):
    made = [make_run(tmp_path / name) for name in ("a/seed_10", "a/seed_9", "b")]
    (made[0] / "checkpoints").mkdir()
    (made[0] / "checkpoints" / "config.json").write_text("{}")
    assert find_workdirs(tmp_path) == [made[1], made[0], made[2]]
    assert find_workdirs(made[2]) == [made[2]]


def test_folders_without_runs_are_a_mistake(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        find_workdirs(tmp_path / "no")
    with pytest.raises(UserError, match="holds no runs"):
        find_workdirs(tmp_path)
    with pytest.raises(UserError, match="holds no experiment"):
        load_run(tmp_path)
