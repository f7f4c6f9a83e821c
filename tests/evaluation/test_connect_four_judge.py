"""Judged moves of players of known strength, and their tables and plots."""

import csv
import io
import json

import numpy as np
import pytest

from mukoe.evaluation.connect_four_judge import JudgeConfig, judge_move, judge_players
from mukoe.evaluation.judge_files import judge_summary, judge_table, write_judgements
from mukoe.evaluation.players import make_fixed_player


def test_known_moves():
    assert judge_move([], 3) == (0, True, True)
    assert judge_move([], 2) == (0, False, False), "a draw instead of a win"
    # A loss stays one, sooner or later.
    after = [3, 3, 2, 2, 1]
    assert judge_move(after, 5).keeps_value
    # The fastest win, and a slower one.
    ready = [1, 1, 2, 2, 3, 3]
    assert judge_move(ready, 4) == judge_move(ready, 0) == (6, True, True)
    assert judge_move(ready, 6) != (6, True, True)


@pytest.fixture(scope="module")
def judgements():
    """Random and perfect play, against perfect play, from positions that are solved at once."""
    perfect = make_fixed_player("bitbully", "connect_four", 0, seed=2)
    players = [make_fixed_player(name, "connect_four", 0) for name in ("random", "bitbully")]
    return judge_players(players, perfect, JudgeConfig(games=4, opening_moves=5, seed=5))


def test_shares_follow_the_strength(judgements):
    random, perfect = judgements
    assert perfect.share_optimal() == perfect.share_keeping() == 1
    assert random.share_optimal() < random.share_keeping() < 1
    for judgement in judgements:
        assert judgement.scores.shape == (2, 2)
        # The openings of five moves each are not judged.
        assert min(move.ply for move in judgement.moves) == 10


def test_tables_and_files(judgements, tmp_path):
    config = JudgeConfig(games=4, checkpoints=2)
    table = judge_table(judgements).splitlines()
    assert table[1].startswith("random") and "100.0%" in table[2]
    assert table[4] == "bitbully, by ply"
    paths = write_judgements(judgements, config, tmp_path)
    assert [path.name for path in paths] == ["judge.json", "plies.csv", "plies.svg", "training.svg"]
    found = json.loads(paths[0].read_text())
    assert found == json.loads(json.dumps(judge_summary(judgements, config)))
    rows = list(csv.DictReader(io.StringIO(paths[1].read_text())))
    for judgement, checkpoint in zip(judgements, found["checkpoints"], strict=True):
        own = [row for row in rows if row["checkpoint"] == judgement.player.name]
        assert sum(int(row["moves"]) for row in own) == checkpoint["moves"]
        weighted = sum(int(row["moves"]) * float(row["optimal"]) for row in own)
        np.testing.assert_allclose(weighted / checkpoint["moves"], checkpoint["optimal"])
        assert sum(checkpoint["by_seat"][0].values()) == 2
    assert "value-keeping moves</text>" in paths[2].read_text()
    assert [path.name for path in write_judgements(judgements[:1], config, tmp_path)] == [
        "judge.json", "plies.csv", "plies.svg",
    ]  # fmt: skip
