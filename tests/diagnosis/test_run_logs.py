"""Verdicts on the logs of runs."""

import dataclasses

import pytest

from mukoe.configuration.workdir import prepare_workdir
from mukoe.diagnosis.run_logs import check_logs, check_samples, check_seeds, seed_workdirs
from mukoe.observability.loggers.csv_logger import CsvLogger
from mukoe.observability.report.runs import load_run
from tests.layouts.tiny import tiny


def workdir_with(path, updates=0.25, parameter_age=0, returns=()):
    """A run of batches of 8, with a number of updates per agent step; 2 samples are wanted."""
    path.parent.mkdir(exist_ok=True)
    workdir = prepare_workdir(path, tiny(), None, resume=False)
    counts = [(steps, int(updates * steps)) for steps in (100, 200, 300)]
    for label in ("learner", "actor_0"):
        logger = CsvLogger(workdir / "logs" / f"{label}.csv")
        for steps, learned in counts:
            row = {"actor_steps": steps, "learner_steps": learned, "wall_time": steps}
            logger.write(row | ({"parameter_age": parameter_age} if label == "actor_0" else {}))
        logger.close()
    if returns:
        logger = CsvLogger(workdir / "logs" / "evaluator.csv")
        for i, value in enumerate(returns):
            logger.write({"actor_steps": 100 * i, "episode_return": value})
        logger.close()
    return workdir


@pytest.mark.parametrize(
    ("settings", "verdict", "text"),
    [
        ({}, "ok", "2 samples per insert"),
        ({"updates": 0.1}, "fault", "the learner cannot keep up"),
        ({"updates": 0.5}, "fault", "the actors cannot keep up"),
        ({"parameter_age": 30_000}, "fault", "lower distributed.variable_seconds"),
    ],
)
def test_samples_per_insert_and_age_of_the_parameters(settings, verdict, text, tmp_path):
    run = load_run(workdir_with(tmp_path / "run", **settings))
    finding = check_samples(run, tiny().agent.make_builder().replay)
    assert finding.verdict == verdict and text in finding.text
    assert len(finding.curve) == 2


@pytest.mark.parametrize(
    ("declared", "updates"),
    [
        # An item in 4 steps, sampled twice: 2 * (steps / 4) / 8 updates.
        ({"period": 4, "sequence_length": 6}, 2 / 4 / 8),
        # Half of a batch are demonstrations: 2 * steps / 4 updates.
        ({"demonstrated_fraction": 0.5}, 2 / 4),
    ],
)
def test_items_of_actors_are_counted_not_steps_or_demonstrations(declared, updates, tmp_path):
    replay = dataclasses.replace(tiny().agent.make_builder().replay, **declared)
    run = load_run(workdir_with(tmp_path / "run", updates=updates))
    finding = check_samples(run, replay)
    assert finding.verdict == "ok" and finding.curve[-1] == pytest.approx(2.0, rel=0.05)


def test_a_run_without_rows_is_not_judged(tmp_path):
    workdir = prepare_workdir(tmp_path / "run", tiny(), None, resume=False)
    (finding,), checked = check_logs(workdir)
    assert finding.verdict == "unknown" and checked == workdir


@pytest.mark.parametrize(
    ("last", "verdict", "text"),
    [
        ((90, 100, 95), "ok", "median 95"),
        ((90, 100, 12), "fault", "1 of 3 seeds have failed (seed_2)"),
        ((8, 9, 10), "fault", "no seed has learned"),
    ],
)
def test_a_seed_that_failed_is_named_and_checked(last, verdict, text, tmp_path):
    for seed, value in enumerate(last):
        workdir_with(tmp_path / f"seed_{seed}", returns=(10, value, value, value))
    workdirs = seed_workdirs(tmp_path)
    assert [path.name for path in workdirs] == ["seed_0", "seed_1", "seed_2"]
    finding, worst = check_seeds(workdirs)
    assert finding.verdict == verdict and text in finding.text
    assert worst.name == f"seed_{last.index(min(last))}"
    findings, checked = check_logs(tmp_path)
    assert checked == worst and [f.check for f in findings][0] == "seeds agree"


def test_two_seeds_are_too_few(tmp_path):
    for seed in range(2):
        workdir_with(tmp_path / f"seed_{seed}", returns=(10, 100))
    assert check_seeds(seed_workdirs(tmp_path))[0].verdict == "unknown"
