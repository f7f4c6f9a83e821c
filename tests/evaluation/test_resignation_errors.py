"""Errors of resignation: hand-made games, games of a trained run, and the interval."""

import numpy as np
import pytest

from mukoe.environments.pgx.resignation import Resignation
from mukoe.errors import UserError
from mukoe.evaluation.players import Reference, open_agent
from mukoe.evaluation.resignation_errors import (
    THRESHOLDS,
    PlayedOut,
    ResignationConfig,
    measure_resignation,
    resignation_errors,
    resignation_table,
    wilson_interval,
)
from tests.evaluation.tiny_runs import train

_ = np.nan
# Values of the player to move by ply, in four games: rows are games, seat 0 moves at even plies.
VALUES = [
    # Seat 0 takes the game for lost at plies 2 and 4, and loses it.
    [0.0, 0.1, -0.8, 0.8, -0.9, 0.9, -0.9, 0.9],
    # Seat 1 takes it for lost at plies 1 and 3, and draws.
    [0.2, -0.7, 0.7, -0.8, 0.1, 0.0, _, _],
    # Low values that are not successive, or of both seats in turn.
    [-0.9, 0.0, 0.5, -0.9, 0.5, 0.5, -0.9, _],
    # Seat 0 resigns at ply 2, before seat 1 does at ply 5; it would have won.
    [-0.9, 0.0, -0.9, -0.9, 0.9, -0.9, 0.9, _],
]
OUTCOMES = [-1, 0, 1, 1]


def test_errors_of_games_that_are_known():
    played = PlayedOut(np.array(VALUES).T, np.array(OUTCOMES))
    errors = resignation_errors(played, Resignation(0.6, 2))
    assert (errors.games, errors.resigned, errors.not_lost) == (4, 3, 2)
    # 8 - 4, 6 - 3 and 7 - 2 of 28 moves.
    assert errors.saved == pytest.approx(12 / 28)
    assert (errors.low, errors.high) == wilson_interval(2, 3)
    # Only the values of -0.9 are low.
    errors = resignation_errors(played, Resignation(0.85, 2))
    assert (errors.resigned, errors.not_lost) == (2, 1)
    assert errors.saved == pytest.approx((8 - 6 + 7 - 2) / 28)
    none = resignation_errors(played, Resignation(0.95, 1))
    assert (none.resigned, none.low, none.high, none.saved) == (0, 0.0, 1.0, 0.0)
    table = resignation_table([errors, none])
    assert "0.85" in table and "2 (50.0%)" in table and "1 (50.0%)" in table
    assert "play more --games" in table


def test_the_lowest_threshold_with_rare_errors_is_named():
    lost = PlayedOut(np.full((1, 200), -0.8), np.full(200, -1))
    rows = [resignation_errors(lost, Resignation(threshold, 1)) for threshold in (0.5, 0.7, 0.9)]
    assert resignation_table(rows).endswith("not lost: --resign_below=0.5")


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Tables of Wilson's score interval.
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (1, 100, 0.0018, 0.0545)],
)
def test_intervals(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_games_of_a_run(tmp_path_factory):
    run = open_agent(Reference(train("tic_tac_toe", tmp_path_factory.getbasetemp())))
    batches = []
    config = ResignationConfig(games=40, opening_moves=1, resign_moves=1)
    rows = measure_resignation(run, config, batches.append)
    assert batches == [32, 8]
    assert [row.threshold for row in rows] == list(THRESHOLDS)
    # The agent does not explore, so that games with the same opening are the same.
    assert {row.games for row in rows} == {rows[0].games} and 10 < rows[0].games <= 40
    resigned = [row.resigned for row in rows]
    assert resigned == sorted(resigned, reverse=True)
    repeated = ResignationConfig(games=40, opening_moves=0, resign_moves=1)
    assert measure_resignation(run, repeated, batches.append)[0].games == 1


def test_an_agent_alone_does_not_resign(tmp_path_factory):
    run = open_agent(Reference(train("cartpole", tmp_path_factory.getbasetemp())))
    with pytest.raises(UserError, match="a game of two players"):
        measure_resignation(run, ResignationConfig(), print)
