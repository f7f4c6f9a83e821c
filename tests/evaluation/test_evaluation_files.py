"""Tables and files of evaluations."""

import csv
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest

from mukoe.errors import UserError
from mukoe.evaluation.episodes import Evaluation
from mukoe.evaluation.evaluation_files import episodes_csv, evaluation_table, write_evaluation
from mukoe.evaluation.players import Player
from mukoe.evaluation.scores import score_statistics
from mukoe.types import EpisodeResult


def make_evaluation(tmp_path, opponent=None, **fields) -> Evaluation:
    run = SimpleNamespace(
        workdir=tmp_path,
        config=SimpleNamespace(environment=SimpleNamespace(game="chess"), agent=object()),
        params=SimpleNamespace(learner_steps=np.int32(7)),
        counts={"actor_steps": 70},
        experiment=SimpleNamespace(environment_factory=None),
    )
    results = [EpisodeResult(score, 3, 3, 0, seat) for score, seat in [(1.0, 0), (-1.0, 1)]]
    statistics = score_statistics([1.0, -1.0], np.random.default_rng(0))
    return Evaluation(run, results, statistics, 5, opponent, **fields)


def test_table_of_games(tmp_path):
    opponent = Player("rollout", lambda _: None, simulations=16)
    lines = evaluation_table(make_evaluation(tmp_path, opponent, opening_moves=2)).splitlines()
    assert "rollout (16 simulations, 2 random moves each at the start)" in lines[2]
    assert [line.split() for line in lines[-4:]] == [
        ["games", "wins", "draws", "losses"],
        ["total", "1", "0", "1"],
        ["moving", "first", "1", "0", "0"],
        ["moving", "second", "0", "0", "1"],
    ]


def test_table_of_scores(tmp_path):
    table = evaluation_table(make_evaluation(tmp_path, human_normalised=0.25))
    assert "human-normalised mean 25.0%" in table
    assert "wins" not in table and "opponent" not in table and "simulations" not in table


def test_files(tmp_path):
    evaluation = make_evaluation(tmp_path)
    path = write_evaluation(evaluation, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "evaluation" / "step7-seed5.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [row["episode_return"] for row in rows] == ["1.0", "-1.0"]
    assert path.read_text() == episodes_csv(evaluation)
    found = json.loads((tmp_path / "new" / "folder" / "evaluation.json").read_text())
    assert (found["mean"], found["checkpoint"], found["opponent"]) == (0.0, 7, None)


def test_files_that_cannot_be_written(tmp_path):
    (tmp_path / "evaluation").write_text("in the way")
    with pytest.raises(UserError, match="cannot write .*step7-seed5.csv"):
        write_evaluation(make_evaluation(tmp_path), tmp_path)
