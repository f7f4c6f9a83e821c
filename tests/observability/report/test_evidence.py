"""Published records of runs: from workdirs, on disk, and the committed ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from mukoe.configuration.workdir import flatten, stored_config
from mukoe.errors import UserError
from mukoe.layouts.common.complete_config import read_completed
from mukoe.observability.report.evidence import collect, read_all, read_evidence, write_evidence
from mukoe.observability.report.published import read_published
from mukoe.observability.report.results_page import make_results
from mukoe.observability.report.runs import load_run
from tests.observability.fake_runs import make_run

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"


def test_page_and_figures_are_those_of_the_committed_records():
    page = (DOCS / "results.md").read_text()
    records = read_completed(DOCS / "evidence")
    published = read_published(DOCS / "published.json")
    again, figures = make_results(records, page, "figures", "evidence", published=published)
    assert again == page, "the page is not up to date: run programs/results.py"
    for name, text in figures.items():
        assert (DOCS / "figures" / name).read_text() == text + "\n", (
            f"{name}: run programs/results.py"
        )


def test_committed_records_are_small_and_name_their_source():
    for record in read_all(DOCS / "evidence"):
        folder = DOCS / "evidence" / record.name
        assert sum(path.stat().st_size for path in folder.iterdir()) < 32_000
        assert set(record.sources) == {"run.json", "evaluations.csv"}
        returns = record.evaluations.episode_return
        assert returns.size and np.isfinite(returns).all()
        # Recovered curves have the resolution of the figures.
        tolerance = 0.02 * max(np.ptp(returns), 1.0)
        assert returns[-1] == pytest.approx(record.last_return, abs=tolerance)
        assert returns.max() == pytest.approx(record.best_return, abs=tolerance)
        assert "/work" not in (folder / "run.json").read_text()


def test_the_commands_are_the_first_and_those_that_changed_the_run(tmp_path):
    workdir = make_run(tmp_path / "now" / "cartpole_3", seed=3, returns=(10.0,))
    place = f"--workdir={tmp_path}/before/cartpole_3"
    commands = [
        ["programs/launch.py", "--env=CartPole-v1", place],
        ["programs/launch.py", "--env=CartPole-v1", place, "--resume"],
        ["programs/launch.py", place, "--resume", "--max_actor_steps=9000"],
        ["programs/launch.py", "--resume", place],
    ]
    first, *resumed = ({"argv": argv, "cpus": cpus} for cpus, argv in enumerate(commands))
    stored = {**resumed[-1], "previous": [first, *resumed[:-1]]}
    (workdir / "command.json").write_text(json.dumps(stored))
    record = collect(load_run(workdir), "cartpole_3", None)
    assert record.command["argv"] == [*commands[0][:2], "--workdir=cartpole_3"]
    changing = ["programs/launch.py", "--workdir=cartpole_3", "--resume", "--max_actor_steps=9000"]
    assert record.command["resumed"] == [changing]
    assert record.command["cpus"] == 3, "the machine is that of the newest command"
    page, _ = make_results([record], "", "figures", "evidence")
    assert (
        "```sh\npython programs/launch.py --env=CartPole-v1 --workdir=cartpole_3\n"
        "python programs/launch.py --workdir=cartpole_3 --resume --max_actor_steps=9000\n```"
    ) in page


def test_record_of_a_finished_run(tmp_path):
    workdir = make_run(tmp_path / "cartpole_3", seed=3, returns=(10.0, 50.0, 40.0))
    evaluation = {"workdir": str(workdir), "mean": 45.5, "ci95": [40.0, 50.0], "episodes": 100}
    (workdir / "evaluation.json").write_text(json.dumps(evaluation))
    command = {
        "argv": ["programs/launch.py", f"--workdir={workdir}"],
        "python": "3.10.1",
        "versions": {"jax": "0.5.3"},
        "cpus": 2,
    }
    stored = {**command, "config_file": str(tmp_path / "config.py")}
    (workdir / "command.json").write_text(json.dumps(stored))
    record = collect(load_run(workdir), "cartpole_3", 50.0)
    assert (record.group, record.environment, record.seed) == ("cartpole", "CartPole-v1", 3)
    assert record.config == dict(flatten(stored_config(workdir)))
    assert record.command == {**command, "argv": ["programs/launch.py", "--workdir=cartpole_3"]}
    assert (record.agent_steps, record.minutes, record.cpu_hours_at_most) == (3000, 15.0, 0.5)
    assert (record.last_return, record.best_return) == (40.0, 50.0)
    assert record.reached == {"actor_steps": 2000.0, "minutes": 10.0}
    assert record.evaluation == {**evaluation, "workdir": "cartpole_3"}
    folder = tmp_path / "evidence" / "cartpole_3"
    write_evidence(record, folder)
    assert (folder / "evaluations.csv").read_text() == (
        "actor_steps,minutes,episode_return\n1000,5,10\n2000,10,50\n3000,15,40\n"
    )
    again = read_evidence(folder)
    np.testing.assert_array_equal(again.evaluations.minutes, [5.0, 10.0, 15.0])
    assert {**vars(again), "evaluations": None} == {**vars(record), "evaluations": None}
    page, figures = make_results([again], "", "figures", "evidence")
    assert "| [cartpole_3](evidence/cartpole_3) | 3 | 3,000 |" in page
    assert "Recovered" not in page
    assert sorted(figures) == ["cartpole-minutes.svg", "cartpole-steps.svg"]


def test_record_of_a_run_without_actors(tmp_path):
    """Its learning curve is over learner steps."""
    workdir = make_run(tmp_path / "offline_0", seed=0, returns=(), num_actors=0)
    (workdir / "logs" / "evaluator.csv").write_text(
        "learner_steps,episode_return,wall_time\n100,7.0,60.0\n200,9.0,120.0\n"
    )
    folder = tmp_path / "evidence" / "offline_0"
    write_evidence(collect(load_run(workdir), "offline_0", 8.0), folder)
    assert (folder / "evaluations.csv").read_text() == (
        "learner_steps,minutes,episode_return\n100,1,7\n200,2,9\n"
    )
    record = read_evidence(folder)
    assert record.reached == {"learner_steps": 200.0, "minutes": 2.0}
    page, figures = make_results([record], "", "figures", "evidence")
    assert "200 learner steps, 2 minutes" in page and "no learning curve" not in page
    assert sorted(figures) == ["offline-minutes.svg", "offline-updates.svg"]


def test_record_of_a_run_without_evaluations(tmp_path):
    run = load_run(make_run(tmp_path / "a", returns=()))
    write_evidence(collect(run, "a", 475.0), tmp_path / "evidence" / "a")
    (record,) = read_all(tmp_path / "evidence")
    assert record.evaluations.episode_return.size == 0
    assert (record.last_return, record.reached, record.evaluation) == (None, None, None)
    assert record.notes == ("no evaluator log",)


def test_damaged_records_are_refused(tmp_path):
    with pytest.raises(UserError, match="holds no evidence"):
        read_all(tmp_path)
    write_evidence(collect(load_run(make_run(tmp_path / "a")), "a", None), tmp_path / "e" / "a")
    (tmp_path / "e" / "a" / "run.json").write_text("{")
    with pytest.raises(UserError, match="cannot read the evidence in .*/a"):
        read_all(tmp_path / "e")
    (tmp_path / "e" / "a" / "run.json").write_text("{}")
    with pytest.raises(UserError, match="cannot read the evidence in .*/a"):
        read_all(tmp_path / "e")
    write_evidence(collect(load_run(tmp_path / "a"), "a", None), tmp_path / "e" / "a")
    for text in (
        "",
        "frames,minutes,episode_return\n",
        "actor_steps,minutes,episode_return\n1,2\n",
    ):
        (tmp_path / "e" / "a" / "evaluations.csv").write_text(text)
        with pytest.raises(UserError, match="cannot read the evidence in .*/a"):
            read_all(tmp_path / "e")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_evidence(collect(load_run(tmp_path / "a"), "a", None), tmp_path / "file" / "a")
