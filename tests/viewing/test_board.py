"""Boards of the games of pgx."""

import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.pgx.config import PgxConfig
from mukoe.viewing.board import find_board


def test_names_of_cells():
    board = find_board(PgxConfig("tic_tac_toe").make_factory()(0, 1, False).spec, "tic_tac_toe")
    assert board.names == ("a1", "b1", "c1", "a2", "b2", "c2", "a3", "b3", "c3")
    text = board.write(np.array([[0, 1, 0], [0, 2, 0], [0, 0, 1]])).splitlines()
    assert [line.split() for line in text] == [
        ["a", "b", "c"],
        ["1", ".", "X", "."],
        ["2", ".", "O", "."],
        ["3", ".", ".", "X"],
    ]


@pytest.mark.parametrize(
    "name, names, last",
    [
        ("connect_four", 7, "g"),
        ("othello", 65, "pass"),
        ("go_9x9", 82, "pass"),
        ("hex", 122, "swap"),
    ],
)
def test_boards_of_other_games(name, names, last):
    board = find_board(PgxConfig(name).make_factory()(0, 1, False).spec, name)
    assert len(board.names) == names and board.names[-1] == last
    assert board.by_column == (name == "connect_four")
    assert board.skewed == (name == "hex")


def test_single_player_games_have_no_board():
    assert find_board(PgxConfig("2048").make_factory()(0, 1, False).spec, "2048") is None
