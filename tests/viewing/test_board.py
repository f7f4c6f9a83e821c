"""Boards of the games of pgx."""

import numpy as np
import pytest

pytest.importorskip("pgx")

from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.environments.pgx.boards import write_stones
from mukoe.environments.pgx.config import PgxConfig
from mukoe.environments.pgx.games import PGX_GAMES
from mukoe.viewing.action_names import action_names
from mukoe.viewing.board import find_board


def test_names_of_cells():
    environment = PgxConfig("tic_tac_toe").make_factory()(0, 1, False)
    names = ["a1", "b1", "c1", "a2", "b2", "c2", "a3", "b3", "c3"]
    assert environment.action_names() == action_names(environment) == names
    text = write_stones(np.array([[0, 1, 0], [0, 2, 0], [0, 0, 1]]), skewed=False)
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
    environment = PgxConfig(name).make_factory()(0, 1, False)
    board = find_board(environment.spec, name)
    assert len(environment.action_names()) == names and environment.action_names()[-1] == last
    assert board.by_column == (name == "connect_four")
    assert board.skewed == (name == "hex")


@pytest.mark.parametrize("name", ["2048", "backgammon", "minatar-breakout", "CartPole-v1"])
def test_games_without_stones_on_cells_have_no_board(name):
    config = PgxConfig(name) if name in PGX_GAMES else GymnasiumConfig(name)
    assert find_board(config.make_factory()(0, 1, False).spec, name) is None
