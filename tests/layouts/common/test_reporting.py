"""Lines about a run: its phase, and the shares of its time."""

import signal
import sys
from pathlib import Path

import pytest

from mukoe.layouts.common.experiment import RunConfig
from mukoe.layouts.common.reporting import (
    expectation,
    make_progress,
    next_commands,
    reported_time_line,
    time_line,
)
from mukoe.layouts.common.shutdown import end_reason, exit_status, step_limit_reached
from tests.layouts.tiny import tiny


def test_the_line_shows_means_over_the_actors_in_a_fixed_order():
    reports = {
        "time_acting_0": {"environment": 0.25, "transport": 0.05, "waiting": 0.7},
        "time_acting_1": {"environment": 0.75, "recording": 0.004, "waiting": 0.246},
        "time_learning": {"data": 0.03, "transfer": 0.01, "update": 0.96},
        "loss": 1.0,
    }
    assert reported_time_line(reports) == (
        "time   acting: environment 50% transport 2% waiting 47%"
        "   learning: data 3% transfer 1% update 96%"
    )


def test_the_line_shows_every_part_of_learning():
    shares = {"data": 0.1, "transfer": 0.1, "update": 0.5, "reanalysis": 0.3}
    line = "time   learning: data 10% transfer 10% update 50% reanalysis 30%"
    assert time_line([], shares) == line


def test_the_line_leaves_out_what_was_not_measured():
    assert time_line([{"network": 0.6, "tree": 0.4}], {}) == "time   acting: network 60% tree 40%"
    assert reported_time_line({"loss": 1.0}) is None


def test_a_run_says_what_to_expect():
    experiment = tiny(max_actor_steps=20_000, evaluation_period=1_000).make_experiment()
    assert expectation(experiment, Path("runs/a")) == (
        "20,000 agent steps in runs/a, updates after the first 20 items of replay, 2 evaluation "
        "episodes every 1,000 steps, a checkpoint every 120 s; Ctrl-C saves and ends"
    )


@pytest.mark.parametrize(
    "counts, reports, phase, fraction",
    [
        ({}, {}, "compiling the policy", None),
        ({}, {"has_acted": True}, "filling replay", (0, 20)),
        ({"actor_steps": 4}, {"replay_size": 4}, "filling replay", (4, 20)),
        ({"actor_steps": 24}, {"replay_size": 20}, "compiling the update", None),
        ({"actor_steps": 24, "learner_steps": 1}, {"replay_size": 20}, "learning", None),
        ({"actor_steps": 24, "learner_steps": 1}, {"evaluation": (1, 2)}, "evaluating", (1, 2)),
        ({"actor_steps": 24}, {"evaluation": None, "replay_size": 9}, "filling replay", (9, 20)),
        ({"actor_steps": 24}, {"stage": ("saving", None, None)}, "saving", None),
    ],
)
@pytest.mark.parametrize("start", [0, 1_000])
def test_the_phase_follows_from_the_counts_since_the_start(counts, reports, phase, fraction, start):
    start_counts = {"actor_steps": start, "learner_steps": start}
    counts = {name: start_counts[name] + counts.get(name, 0) for name in start_counts}
    experiment = tiny(max_actor_steps=10_000).make_experiment()
    progress = make_progress(experiment, counts, {**reports, "start_counts": start_counts})
    assert progress.phase == phase
    assert (progress.phase_done, progress.phase_total) == (fraction or (None, None))
    assert (progress.steps, progress.max_steps) == (counts["actor_steps"], 10_000)
    assert progress.advances == (phase in ("learning", "evaluating"))


@pytest.mark.parametrize(
    "steps, reports, signals, expected",
    [
        (100, {}, (), "the step limit is reached (run.max_actor_steps=100)"),
        (500, {}, (), "the step limit is reached (run.max_actor_steps=100)"),
        (
            50,
            {"reached_return": 9.5},
            (),
            "the evaluation's mean return 9.5 reached run.target_return=9",
        ),
        (50, {}, (signal.SIGINT,), "Ctrl-C"),
        (50, {}, (signal.SIGTERM,), "SIGTERM"),
    ],
)
def test_reason_of_the_end(steps, reports, signals, expected):
    run = RunConfig(max_actor_steps=100, target_return=9.0)
    counts = {"actor_steps": steps, "learner_steps": 1}
    assert end_reason(run, counts, reports, signals) == expected


def test_a_run_that_ends_before_its_first_update_says_so():
    reason = end_reason(RunConfig(max_actor_steps=100), {"actor_steps": 100}, {})
    assert reason == "the step limit is reached before the first update (run.max_actor_steps=100)"


def test_a_run_past_its_limit_is_resumed_for_twice_its_steps(tmp_path):
    # The steps of a round are more than the limit.
    (tmp_path / "checkpoints" / "latest" / "1").mkdir(parents=True)
    counts = {"actor_steps": 4_080, "learner_steps": 9}
    run = RunConfig(max_actor_steps=500, max_learner_steps=7)
    assert (
        f"--workdir={tmp_path} --config.run.max_learner_steps=18 --max_actor_steps=8160\n"
    ) in next_commands(tmp_path, run, counts)


@pytest.mark.parametrize(
    "stored, counts, signals, status, error",
    [
        (9, {"learner_steps": 9}, (), 0, ""),
        (9, {"learner_steps": 9}, (signal.SIGINT,), 130, ""),
        (0, {"actor_steps": 5}, (signal.SIGTERM,), 0, ""),
        (None, {}, (signal.SIGINT,), 130, ""),
        (5, {"learner_steps": 9}, (signal.SIGINT,), 1, "the newest one is of learner step 5"),
        (None, {"learner_steps": 9}, (), 1, "there is none"),
        (None, {"actor_steps": 5}, (), 1, "there is none"),
    ],
)
def test_a_last_checkpoint_that_is_not_written_is_an_error(
    tmp_path, capsys, stored, counts, signals, status, error
):
    if stored is not None:
        (tmp_path / "checkpoints" / "latest" / str(stored)).mkdir(parents=True)
    assert exit_status(signals, tmp_path, counts) == status
    expected = f"learner step {counts.get('learner_steps', 0)} was not written: {error}\n"
    assert capsys.readouterr().err == (f"error: the checkpoint of {expected}" if error else "")


def test_the_limit_of_learner_steps_ends_a_run_and_is_doubled_to_resume(tmp_path):
    run, counts = RunConfig(max_learner_steps=7), {"actor_steps": 50, "learner_steps": 7}
    assert step_limit_reached(run, counts)
    assert not step_limit_reached(run, {**counts, "learner_steps": 6})
    assert not step_limit_reached(RunConfig(), counts)
    reason = "the step limit is reached (run.max_learner_steps=7)"
    assert end_reason(run, counts, {}) == reason
    (tmp_path / "checkpoints" / "latest" / "7").mkdir(parents=True)
    assert f"--workdir={tmp_path} --config.run.max_learner_steps=14\n" in next_commands(
        tmp_path, run, counts
    )


@pytest.mark.parametrize(
    ("argv", "program"),
    [
        (["mukoe", "train_atari", "--resume"], "mukoe train_atari"),
        (["programs/launch.py"], f"{Path(sys.executable).name} programs/launch.py"),
        (["/lib/ipykernel_launcher.py", "-f", "kernel.json"], "mukoe train"),
        (["-c"], "mukoe train"),
    ],
)
def test_the_command_to_resume_runs_from_a_terminal(argv, program, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", argv)
    (tmp_path / "checkpoints" / "latest" / "7").mkdir(parents=True)
    lines = next_commands(tmp_path, RunConfig(max_actor_steps=100), {"actor_steps": 10})
    assert f"resume with:   {program} --resume --workdir={tmp_path}\n" in lines
