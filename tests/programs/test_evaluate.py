"""programs/evaluate.py on small runs: output, files and errors."""

import csv
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from tests.evaluation.tiny_runs import train
from tests.programs.forked import run_program

# Its fixtures take long, so one worker runs it whole.
pytestmark = pytest.mark.xdist_group("evaluate")


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory) -> Path:
    return train("cartpole", tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def games(tmp_path_factory) -> Path:
    return train("tic_tac_toe", tmp_path_factory.getbasetemp())


def evaluate(*arguments: object) -> subprocess.CompletedProcess:
    return run_program("evaluate.py", *arguments)


def read(result: subprocess.CompletedProcess) -> tuple[dict, list[dict], Path]:
    assert result.returncode == 0, result.stderr
    *table, last = result.stdout.splitlines()
    (line,) = [line for line in table if line.startswith("episodes: ")]
    path = Path(line.removeprefix("episodes: "))
    with open(path) as file:
        return json.loads(last), list(csv.DictReader(file)), path


def test_cartpole(cartpole, tmp_path):
    arguments = (f"--workdir={cartpole}", "--episodes=12", "--num_envs=5", "--seed=3")
    found, rows, path = read(evaluate(*arguments))
    returns = np.array([float(row["episode_return"]) for row in rows])
    assert len(returns) == found["episodes"] == 12
    assert [float(row["length"]) for row in rows] == list(returns)  # CartPole: 1 for each step
    np.testing.assert_allclose(
        [found[name] for name in ("mean", "std", "median", "iqm")],
        [returns.mean(), returns.std(), np.median(returns), scipy.stats.trim_mean(returns, 0.25)],
    )
    assert found["ci95"][0] <= found["mean"] <= found["ci95"][1]
    assert found["ci95_of"] == "mean"
    assert (found["seed"], found["simulations"], found["opponent"]) == (3, 2, None)
    assert found["checkpoint"] == max(map(int, os.listdir(cartpole / "checkpoints" / "latest")))
    assert path.parent == cartpole / "evaluation"
    assert json.loads((cartpole / "evaluation.json").read_text()) == found

    again, same_rows, path = read(evaluate(*arguments, f"--output={tmp_path}"))
    assert (again, same_rows) == (found, rows)
    assert path.parent == tmp_path / "evaluation"


def test_the_prior_against_an_older_self(games):
    found, rows, _ = read(
        evaluate(
            f"--workdir={games}",
            "--best",
            "--simulations=0",
            f"--opponent={games}@0",
            "--opponent_simulations=0",
            "--episodes=20",
        )
    )
    returns = [float(row["episode_return"]) for row in rows]
    assert [found["wins"], found["draws"], found["losses"]] == [
        returns.count(score) for score in (1.0, 0.0, -1.0)
    ]
    assert found["by_seat"]["second"]["wins"] == sum(
        row["seat"] == "second" and row["episode_return"] == "1.0" for row in rows
    )
    assert (found["simulations"], found["opponent_simulations"]) == (0, 0)
    assert found["opponent"] == "tic_tac_toe@0"
    (best,) = os.listdir(games / "checkpoints" / "best")
    assert found["checkpoint"] == int(best)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--workdir is missing"),
        (("--workdir=/none",), "/none holds no experiment"),
        (("--workdir={games}", "--opponent=minimax"), "unknown opponent 'minimax'"),
    ],
)
def test_mistakes(games, arguments, message):
    result = evaluate(*(argument.format(games=games) for argument in arguments))
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    # A slow machine shows the progress line first.
    assert [line[:7] for line in result.stderr.splitlines()].count("error: ") == 1
    assert result.stderr.splitlines()[-1].startswith("error: ")
