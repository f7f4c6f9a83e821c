"""programs/ladder.py on a small self-play run."""

import csv
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.evaluation.tiny_runs import train
from tests.programs.forked import run_program


@pytest.fixture(scope="module")
def games(tmp_path_factory) -> Path:
    return train("tic_tac_toe", tmp_path_factory.getbasetemp())


def ladder(*arguments: object) -> subprocess.CompletedProcess:
    return run_program("ladder.py", *arguments)


def test_ladder_of_checkpoints(games):
    result = ladder(
        f"--workdir={games}",
        "--games=10",
        "--opponents=random",
        "--simulations=0",
        "--schedule=neighbours",
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found == json.loads((games / "ladder" / "ladder.json").read_text())
    steps = sorted(map(int, os.listdir(games / "checkpoints" / "latest")))
    assert [player["learner_step"] for player in found["players"]] == [None, *steps]
    assert found["players"][0]["elo"] == 0
    with open(games / "ladder" / "results.csv") as file:
        rows = list(csv.DictReader(file))
    assert {sum(int(row[k]) for k in ("first_wins", "draws", "second_wins")) for row in rows} == {5}
    with open(games / "ladder" / "ratings.csv") as file:
        ratings = list(csv.DictReader(file))
    assert [float(row["elo"]) for row in ratings] == [p["elo"] for p in found["players"]]
    plots = ["ladder", "openings", *(["strength"] if found["self_play"]["hours"] else [])]
    for name in plots:
        assert "</svg>" in (games / "ladder" / f"{name}.svg").read_text()
    openings = found["self_play"]["openings"]
    assert [each["player"] for each in openings] == [f"step {step}" for step in steps]
    assert all(1.0 <= each["effective"][0] <= 9.0 and each["games"] == 10 for each in openings)
    assert "cycles: " in result.stdout and "first mover: scores" in result.stdout
    for name in ("random", *(f"step {step}" for step in steps)):
        assert any(line.startswith(name) for line in result.stdout.splitlines())


def test_mistakes(games):
    result = ladder(f"--workdir={games}", "--opponents=random,perfect")
    assert (result.returncode, result.stdout) == (2, "")
    known = "random, exact, rollout, gtp:COMMAND, uci:COMMAND, bitbully"
    assert result.stderr == f"error: unknown opponent 'perfect'; known are {known}\n"
