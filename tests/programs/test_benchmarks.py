"""Every benchmark runs at its smallest size, and its rows fit the performance page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIELDS = {"benchmark", "case", "unit", "median", "lowest", "highest", "runs", "note", "machine"}


def run(name, *flags):
    process = subprocess.run(
        [sys.executable, f"benchmarks/{name}.py", *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
    )
    assert process.returncode == 0, process.stdout
    return process.stdout


def rows_of(name, path, *flags):
    run(name, "--tiny", f"--output={path}", *flags)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows
    for row in rows:
        assert set(row) >= FIELDS and row["benchmark"] == name
        assert 0 < row["lowest"] <= row["median"] <= row["highest"]
    return rows


@pytest.mark.slow
@pytest.mark.launchpad
@pytest.mark.parametrize("name", ["replay", "learner", "inference", "shared_core"])
def test_benchmarks_run(name, tmp_path):
    rows_of(name, tmp_path / "rows.jsonl")


@pytest.mark.slow
@pytest.mark.launchpad
def test_the_whole_program_is_measured(tmp_path):
    rows = rows_of("end_to_end", tmp_path / "rows.jsonl")
    assert {row["unit"] for row in rows} == {"frames/s", "updates/s"}


@pytest.mark.slow
def test_search_is_held_against_mctx(tmp_path):
    rows = rows_of("search", tmp_path / "rows.jsonl")
    assert {row["against"] for row in rows} == {"bare mctx", "8 actions"}
    assert all(row["ratio"] > 0 for row in rows)


@pytest.mark.slow
def test_networks_are_held_against_the_shortest_window_and_residual_dynamics(tmp_path):
    rows = rows_of("networks", tmp_path / "rows.jsonl")
    assert {row.get("against") for row in rows} == {None, "window 16", "residual"}
    assert {row["unit"] for row in rows} == {"steps/s", "simulations/s"}


@pytest.mark.slow
@pytest.mark.launchpad
def test_reanalysis_is_measured(tmp_path):
    rows = rows_of("reanalyse", tmp_path / "rows.jsonl", "--config=tests/faults/tiny_cartpole.py")
    assert all(row["ratio"] > 0 for row in rows)


def test_a_row_by_hand():
    """Runs 1, 2, 6 against 4, 2, 3: median 2 against 3, but the ratios are 0.25, 1, 2."""
    code = (
        "import json, sys; sys.path.insert(0, 'benchmarks'); from measure import Row;"
        "row = Row('x', 'a case', 'calls/s', [1.0, 6.0, 2.0], 'alone', [4.0, 3.0, 2.0], 0.9);"
        "print(json.dumps(row.to_dict()))"
    )
    output = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, timeout=120)
    row = json.loads(output)
    assert (row["median"], row["lowest"], row["highest"], row["runs"]) == (2.0, 1.0, 6.0, 3)
    assert (row["against"], row["limit"], row["ratio"], row["target"]) == ("alone", 3.0, 1.0, 0.9)


def test_tables_go_between_their_marks(tmp_path):
    row = {"benchmark": "learner", "case": "a case", "unit": "updates/s", "note": "a note"}
    row |= {"median": 2.0, "lowest": 1.0, "highest": 6.0, "runs": 3, "machine": "a machine"}
    row |= {"against": "alone", "limit": 3.0, "ratio": 1.0, "target": 0.95}
    rows, page = tmp_path / "rows.jsonl", tmp_path / "page.md"
    rows.write_text(json.dumps(row) + "\n")
    page.write_text("before\n<!-- learner -->\nold\n<!-- end of learner -->\nafter\n")
    run("table", f"--rows={rows}", f"--page={page}")
    lines = page.read_text().splitlines()
    assert lines[:3] == ["before", "<!-- learner -->", "a machine"]
    assert lines[-2:] == ["<!-- end of learner -->", "after"]
    cells = [cell.strip() for cell in lines[6].strip("|").split("|")]
    assert cells == ["a case", "2", "1 to 6", "updates/s", "alone", "3"] + [
        "1.00 (target 0.95)",
        "a note",
    ]


def test_a_page_without_marks_is_refused(tmp_path):
    rows, page = tmp_path / "rows.jsonl", tmp_path / "page.md"
    rows.write_text('{"benchmark": "learner"}\n')
    page.write_text("nothing\n")
    process = subprocess.run(
        [sys.executable, "benchmarks/table.py", f"--rows={rows}", f"--page={page}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 2 and "has no marks" in process.stdout + process.stderr
