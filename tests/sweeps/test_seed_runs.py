"""Seeds side by side, with processes that only write the files of a run."""

import json
import re
import signal
from pathlib import Path

import pytest

from mukoe.configuration import prepare_workdir
from mukoe.errors import UserError
from mukoe.layouts.common.experiment import RunConfig, TrainingConfig
from mukoe.sweeps import child_run, seed_runs
from mukoe.sweeps.seed_runs import train_seeds
from mukoe.sweeps.side_by_side import SideBySide, environment_of, runs_at_once
from mukoe.terminal.interruption import STATUS_INTERRUPTED
from tests.observability import fake_runs

# Trains without an agent: seed 1 fails, the others write an evaluation that reaches the target.
TRAINER = """
import sys, time
from pathlib import Path
workdir, flags = Path(sys.argv[1]), sys.argv[2:]
(workdir / "started.txt").open("a").write(" ".join(flags) + "\\n")
if "--slow" in flags:
    time.sleep(60)
if "--seed=1" in flags:
    sys.exit("error: no luck")
(workdir / "config.json").write_text((workdir.parent / "config_of_seeds.json").read_text())
(workdir / "logs").mkdir()
(workdir / "logs/evaluator.csv").write_text("actor_steps,episode_return\\n100,3\\n200,9\\n")
"""


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """Workdir of seeds, whose processes run `TRAINER`."""
    config = TrainingConfig(
        fake_runs.Environment(), fake_runs.Agent(), RunConfig(max_actor_steps=1000, target_return=8)
    )
    prepare_workdir(tmp_path / "one", config, __file__, resume=False)
    folder = tmp_path / "seeds"
    folder.mkdir()
    (folder / "config_of_seeds.json").write_text((tmp_path / "one" / "config.json").read_text())
    code = f"import sys; sys.argv = ['', sys.argv[2].split('=')[1], *sys.argv[3:]]\n{TRAINER}"
    monkeypatch.setattr(child_run, "_START", code)
    return folder


def train(workdir, seeds=(0, 1, 2), flags=(), resume=False, overrides=None):
    return train_seeds(
        workdir, seeds, list(flags), overrides or {}, 1000, resume, "resume it", 2, {}
    )


def starts(workdir, seed):
    return (workdir / f"seed_{seed}" / "started.txt").read_text().splitlines()


def test_a_failed_seed_ends_no_other_and_is_resumed_alone(workdir, capsys):
    assert train(workdir, flags=["--x"]) == 1
    out, err = capsys.readouterr()
    assert "ended: 2 of 3 seeds finished, 1 failed" in out and "resume it" in out
    assert "error: seed 1: no luck" in err
    (report,) = re.findall(r"report: +(.*)", out)
    page = Path(report).read_text()
    assert "seed_0" in page and "seed_2" in page
    assert starts(workdir, 0) == ["--x --seed=0"]

    assert train(workdir, seeds=(0, 1, 2, 3), resume=True, flags=["--y"]) == 1
    assert starts(workdir, 0) == ["--x --seed=0"]
    # It has no run, so that it starts again, with the flags of the first command.
    assert starts(workdir, 1) == ["--x --seed=1", "--x --y --seed=1"]
    assert starts(workdir, 3) == ["--x --y --seed=3"]


def test_unfinished_seeds_are_resumed(workdir, capsys):
    assert train(workdir, seeds=(0, 2)) == 0
    with (workdir / "seed_2" / "logs" / "evaluator.csv").open("a") as file:
        file.write("300,1\n")
    train(workdir, seeds=(0, 2), resume=True)
    assert len(starts(workdir, 0)) == 1
    assert starts(workdir, 2) == ["--seed=2", "--resume"]


def test_a_signal_stops_all_and_names_the_command(workdir, capsys, monkeypatch):
    monkeypatch.setattr(seed_runs, "wait_until", lambda condition, seconds: press_ctrl_c())

    def press_ctrl_c():
        signal.raise_signal(signal.SIGINT)

    assert train(workdir, flags=["--slow"]) == STATUS_INTERRUPTED
    out, err = capsys.readouterr()
    assert out == "ended: Ctrl-C, 0 of 3 seeds finished\nresume with:   resume it\n"
    assert "error" not in err and "failed" not in err


def test_a_seed_that_another_process_terminates_has_failed(workdir, capsys, monkeypatch):
    def terminate(condition, seconds):
        for child in monitored.running:
            child._process.terminate()
            child._process.wait()

    monitored = SideBySide(2)
    monkeypatch.setattr(seed_runs, "SideBySide", lambda at_once: monitored)
    monkeypatch.setattr(seed_runs, "wait_until", terminate)
    assert train(workdir, seeds=(0,), flags=["--slow"]) == 1
    assert "ended: 0 of 1 seeds finished, 1 failed" in capsys.readouterr().out


def test_other_experiments_are_refused(workdir):
    (workdir / "seeds.json").write_text(json.dumps({"flags": []}))
    with pytest.raises(UserError, match="already holds an experiment"):
        train(workdir)
    with pytest.raises(UserError, match="no seeds to resume"):
        train(workdir / "none", resume=True)
    assert not (workdir / "none").exists()


def test_runs_share_the_cores(monkeypatch):
    config = TrainingConfig(None, None)
    monkeypatch.setattr("mukoe.sweeps.side_by_side.has_accelerator", lambda: False)
    assert [runs_at_once(config, layout, 8) for layout in ("local", "sebulba", "distributed")] == [
        *(8, 4, 1)
    ]
    assert environment_of(8, 4)["NPROC"] == "2" and environment_of(8, 1) == {}
    monkeypatch.setattr("mukoe.sweeps.side_by_side.has_accelerator", lambda: True)
    assert runs_at_once(config, "local", 8) == 1


def test_a_process_that_ignores_the_request_is_killed(tmp_path, monkeypatch):
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    monkeypatch.setattr(child_run, "_START", code)
    group = SideBySide(1)
    run = group.start(child_run.ChildRun("seed 0", tmp_path / "seed_0"), [], {})
    assert not group.has_room
    group.stop(seconds=1.0)
    assert run._process.wait(timeout=10) < 0
    assert [status for _, status in group.take_ended()] == [run.poll()]
