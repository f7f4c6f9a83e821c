"""Results page: tables, figures and hand-written text."""

import json
import xml.etree.ElementTree
from pathlib import Path

import numpy as np
import pytest

from mukoe.errors import UserError
from mukoe.observability.report.evidence import collect, read_all, write_evidence
from mukoe.observability.report.hand_written import hand_written
from mukoe.observability.report.published import read_published
from mukoe.observability.report.results_page import make_results
from mukoe.observability.report.runs import find_workdirs, load_run
from tests.observability.fake_runs import make_run

MEANS = (480.0, 490.0, 500.0)


def publish(root, old="", threshold=None, published=()):
    """Records the runs of a folder, and makes the page and its figures from the records."""
    evidence = root.parent / "evidence"
    for workdir in find_workdirs(root):
        name = "-".join(workdir.relative_to(root).parts)
        write_evidence(collect(load_run(workdir), name, threshold), evidence / name)
    return make_results(read_all(evidence), old, "figures", "evidence", published=published)


def table(page, heading, title):
    """Rows, as dicts, of the first table under a heading that has a column of that title."""
    lines = page[page.index(f"## {heading}") :].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {title} |"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


@pytest.fixture
def root(tmp_path):
    tmp_path = tmp_path / "runs"
    for seed, mean in enumerate(MEANS):
        workdir = make_run(tmp_path / f"cartpole/seed_{seed}", seed, returns=(90.0, 475.0, 460.0))
        evaluation = {
            "mean": mean,
            "std": 3.5,
            "median": mean,
            "iqm": mean + 0.25,
            "ci95": [mean - 2, mean + 2],
            "episodes": 100,
            "seed": 7,
        }
        (workdir / "evaluation.json").write_text(json.dumps(evaluation))
    failed = make_run(tmp_path / "tictactoe", env="TicTacToe", seed=5, returns=())
    (failed / "failure.json").write_text(json.dumps({"node": "learner", "error": "E: a|b"}))
    (failed / "command.json").unlink()
    return tmp_path


def test_each_seed_has_its_row(root):
    page, _ = publish(root, "", 475.0)
    rows = table(page, "cartpole", "run")
    assert [row["run"] for row in rows] == [
        f"[cartpole-seed_{seed}](evidence/cartpole-seed_{seed})" for seed in range(3)
    ]
    assert [row["final evaluation [95%]"] for row in rows] == [
        "480 [478, 482]",
        "490 [488, 492]",
        "500 [498, 502]",
    ]
    assert [row["iqm"] for row in rows] == ["480.2", "490.2", "500.2"]
    assert {row["reached 475"] for row in rows} == {"2,000 steps, 10 minutes"}
    assert {row["best in training"] for row in rows} == {"475"}
    assert {row["last in training"] for row in rows} == {"460"}
    assert "opponent" not in rows[0], "columns without anything in them are left out"


def test_summary_has_mean_and_interval_over_seeds(root):
    page, _ = publish(root)
    first, second = table(page, "All", "runs")
    ends = f"[{min(MEANS):.0f}, {max(MEANS):.0f}]"
    expected = f"{np.mean(MEANS):.0f} {ends} (3 seeds; lowest to highest seed)"
    assert first["final evaluation"] == expected
    assert (first["seeds"], first["failed"], first["minutes"]) == ("0, 1, 2", "–", "15")
    assert (second["seeds"], second["failed"], second["final evaluation"]) == ("5", "1", "–")


def test_failures_and_missing_files_are_reported(root):
    page, files = publish(root)
    assert "- tictactoe failed: `learner: E: a|b`" in page
    assert "- tictactoe: no final evaluation" in page
    assert "there is no command.json" in page
    assert "there is no learning curve" in page
    assert sorted(files) == ["cartpole-minutes.svg", "cartpole-steps.svg"]


def test_command_of_the_launcher_is_shown(root):
    for seed in range(3):
        command = {"argv": ["programs/launch.py", f"--seed={seed}", "--note=two words"]}
        command["argv"].append(f"--workdir={Path.cwd()}/runs/{seed}")
        command |= {"python": "3.10.1", "versions": {"jax": "0.5.3"}, "cpus": 2}
        (root / f"cartpole/seed_{seed}/command.json").write_text(json.dumps(command))
    page, _ = publish(root)
    assert "python programs/launch.py --seed=2 '--note=two words' --workdir=runs/2\n" in page
    assert page.count("Python 3.10.1, jax 0.5.3; 2 CPU cores.") == 1, "said once for all seeds"


def test_games_have_wins_draws_and_losses(root):
    evaluation = {"mean": 0.5, "wins": 60, "draws": 30, "losses": 10, "opponent": "random"}
    (root / "tictactoe/evaluation.json").write_text(json.dumps(evaluation))
    page, _ = publish(root)
    (row,) = table(page, "tictactoe", "run")
    assert row["wins / draws / losses"] == "60 / 30 / 10"
    assert row["opponent"] == "random"


def test_figures_are_files_of_their_own(root):
    page, files = publish(root, "", 475.0)
    for name, text in files.items():
        assert f"](figures/{name})" in page
        tree = xml.etree.ElementTree.fromstring(text)
        assert tree.tag == "{http://www.w3.org/2000/svg}svg"
        assert tree.find("{*}line[@class='threshold']") is not None
        assert len(text) < 20_000
    again = publish(root, page, 475.0)
    assert again == (page, files), "the same runs give the same bytes"


def test_groups_with_the_same_task_are_compared(root):
    page, files = publish(root)
    assert "Comparisons" not in page, "one group of each task"
    make_run(root / "rival", num_simulations=2, returns=(20.0, 30.0))
    make_run(root / "alone", env="Acrobot-v1")
    page, files = publish(root, "", 475.0)
    assert page.index("## Comparisons") < page.index("## cartpole")
    assert [name for name in files if name.startswith("comparison")] == [
        "comparison-CartPole-v1-steps.svg",
        "comparison-CartPole-v1-minutes.svg",
    ]
    for axis in ("steps", "minutes"):
        name = f"comparison-CartPole-v1-{axis}.svg"
        assert f"](figures/{name})" in page
        tree = xml.etree.ElementTree.fromstring(files[name])
        legend = [t.text for t in tree.findall("{*}text") if "--c" in t.get("style", "")]
        assert sorted(legend) == ["cartpole", "rival"]
        titles = [t.text for t in tree.findall("{*}path/{*}title")]
        assert any(t.startswith("cartpole, mean of 3 seeds") for t in titles)
        assert any(t.startswith("rival, seed 0") for t in titles)
    first, second = table(page, "Comparisons", "runs")
    assert (first["runs"], second["runs"]) == ("[cartpole](#cartpole)", "[rival](#rival)")
    assert first["final evaluation"].startswith("490") and second["final evaluation"] == "–"
    words = "Equal networks.\n"
    page = page.replace("<!-- notes:comparisons -->\n", f"<!-- notes:comparisons -->\n{words}")
    assert publish(root, page, 475.0) == (page, files)


def test_hand_written_text_is_kept(root):
    page, _ = publish(root)
    words = "What we saw:\n\n- a | b\n"
    page = page.replace("<!-- notes:cartpole -->\n", f"<!-- notes:cartpole -->\n{words}")
    page += "\n<!-- notes:gone -->\nof a run that is gone\n<!-- /notes -->\n"
    again, _ = publish(root, page)
    assert f"<!-- notes:cartpole -->\n{words}<!-- /notes -->" in again
    assert "<!-- notes:gone -->\nof a run that is gone\n<!-- /notes -->" in again
    assert publish(root, again)[0] == again


@pytest.mark.parametrize(
    "page",
    [
        "<!-- notes:a -->\nwords",
        "<!-- notes:a -->\nwords\n<!-- notes:b -->\n<!-- /notes -->",
        "words\n<!-- /notes -->",
        "<!-- notes:a -->\n<!-- /notes -->\n<!-- notes:a -->\n<!-- /notes -->",
    ],
)
def test_mismatched_marks_are_refused(page):
    with pytest.raises(UserError, match="notes"):
        hand_written(page)


def test_numbers_at_the_end_of_a_folder_go_if_they_are_the_seed(tmp_path):
    for name, seed, simulations in (("m-5", 0, 5), ("n-16", 0, 16), ("n-4", 4, 4), ("x_s1", 1, 2)):
        make_run(tmp_path / "runs" / name, seed, simulations)
    page, _ = publish(tmp_path / "runs")
    assert [row["runs"] for row in table(page, "All", "runs")] == [
        "[m-5](#m-5)",
        "[n](#n)",
        "[n-16](#n-16)",
        "[x](#x)",
    ]


def test_published_scores_stand_beside_the_runs(root, tmp_path):
    scores = [{"system": "A", "score": 1_410, "steps": 100_000}, {"system": "B", "score": 0.68}]
    tasks = [{"task": "Cart", "runs": ["cartpole", "tictactoe"], "published": scores}]
    file = tmp_path / "published.json"
    file.write_text(json.dumps(tasks))
    page, _ = publish(root, published=read_published(file))
    first, second = table(page, "Beside published scores", "task")
    assert first["task"] == "Cart" and first["runs"] == "[cartpole](#cartpole)"
    assert first["published"] == "A: 1,410 at 100,000<br>B: 0.68"
    assert first["final evaluation"].startswith("490 [480, 500]")
    assert second["runs"] == "[tictactoe](#tictactoe)" and second["final evaluation"] == "–"
    assert (second["task"], second["published"]) == ("", "")
    assert "Beside published scores" not in publish(root)[0]

    file.write_text(json.dumps([tasks[0] | {"runs": ["pong"]}]))
    with pytest.raises(UserError, match="published scores of Cart: there are no runs 'pong'"):
        publish(root, published=read_published(file))
    file.write_text(json.dumps([tasks[0] | {"score": 1}]))
    with pytest.raises(UserError, match="published.json cannot be read as published scores"):
        read_published(file)
