"""Pictures and texts of hand-made positions."""

import numpy as np
import pytest

from mukoe.environments.pgx.board_drawing import draw
from mukoe.environments.pgx.boards import (
    BoardView,
    find_checkers,
    find_stones,
    write_position,
    write_result,
)

SHAPES = {
    "tic_tac_toe": (3, 3, 2),
    "connect_four": (6, 7, 2),
    "othello": (8, 8, 2),
    "go_9x9": (9, 9, 17),
    "hex": (11, 11, 4),
}


def view(game, own=(), other=(), seat=0, score=0.0, ended=False):
    features = np.zeros(SHAPES[game], bool)
    for cells, plane in ((own, 0), (other, 1)):
        for row, column in cells:
            features[row, column, plane] = True
    return BoardView(game, features, seat, score, ended)


def test_stones_of_seats_do_not_depend_on_the_player_to_move():
    first = view("connect_four", own=[(5, 0)], other=[(5, 1)], seat=0)
    second = view("connect_four", own=[(5, 1)], other=[(5, 0)], seat=1)
    by_first, by_second = (find_stones(v.features, v.seat_to_move) for v in (first, second))
    np.testing.assert_array_equal(by_first, by_second)
    assert (by_first[5, 0], by_first[5, 1], by_first.sum()) == (1, 2, 3)


@pytest.mark.parametrize("game", SHAPES)
def test_a_stone_changes_its_own_cell_and_no_other(game):
    rows, columns = SHAPES[game][:2]
    empty = draw(view(game)).astype(int)
    assert empty.shape[0] % 2 == empty.shape[1] % 2 == 0
    pictures = [empty]
    for cell in [(1, 2), (rows - 1, 0)]:
        for seat in (0, 1):
            picture = draw(view(game, own=[cell], seat=seat)).astype(int)
            changed = np.argwhere((picture != pictures[0]).any(-1))
            height, width = changed.max(0) - changed.min(0) + 1
            assert max(height, width) <= 98  # One cell is 96 pixels at most.
            if game != "hex":
                middle = changed.mean(0) / empty.shape[:2] * (rows, columns)
                np.testing.assert_allclose(middle, np.array(cell) + 0.5, atol=0.15)
            pictures.append(picture)
    distinct = {picture.tobytes() for picture in pictures}
    assert len(distinct) == len(pictures)


def test_text_of_boards():
    assert (
        write_position(view("hex", own=[(1, 0)], seat=1)).splitlines()[2]
        == "  2  O . . . . . . . . . ."
    )
    assert write_position(view("hex")).splitlines()[0] == "    a b c d e f g h i j k"
    assert write_position(view("othello", score=-1.0, ended=True)).splitlines()[-1] == "O won"
    assert write_position(view("othello", score=0.0, ended=True)).splitlines()[-1] == "draw"
    assert write_position(view("go_9x9", seat=1)).splitlines()[-1] == "O to move"


def test_numbers_of_neighbouring_tiles_do_not_touch():
    tiles = np.eye(31, dtype=bool)[1:17].reshape(4, 4, 31)
    picture = draw(BoardView("2048", tiles, 0, 0.0, False))
    dark = (picture < 100).all(-1)
    for row, column in np.ndindex(4, 4):
        digits = np.argwhere(dark[row * 96 : (row + 1) * 96, column * 96 : (column + 1) * 96])
        assert digits[:, 1].min() >= 12 and digits[:, 1].max() <= 83


@pytest.mark.parametrize("game, background", [("tic_tac_toe", 220), ("othello", 100)])
def test_cells_have_equal_sides(game, background):
    picture = draw(view(game))
    for line in (picture[48], picture[:, 48]):
        inside = line[:, 1] > background
        edges = np.flatnonzero(np.diff(np.pad(inside, 1).astype(int)))
        widths = np.diff(edges)[::2]
        assert len(widths) == SHAPES[game][0] and len(set(widths)) == 1


def test_backgammon_shows_all_checkers_in_both_turns():
    features = np.zeros(34, int)
    features[[0, 18, 24, 26]] = 2, 7, 3, 3
    features[[5, 25, 27]] = -9, -4, -2
    features[28 + 5] = 2
    first = find_checkers(features, 0)
    text = write_position(BoardView("backgammon", features, 0, 0.0, False)).splitlines()
    assert text[0].split()[-1] == "24" and text[1].split()[-1] == "2X"
    assert text[2].split()[7] == "7X" and text[3].split()[7] == "6"
    assert text[-2].startswith("bar X 3 O 4  off X 3 O 2") and text[-1] == "X to move: 6 6"
    # The same position with the other player on turn, whose observation is reversed.
    turned = np.concatenate([-features[23::-1], -features[25:23:-1], -features[27:25:-1]])
    turned = np.concatenate([turned, features[28:]])
    second = find_checkers(turned, 1)
    np.testing.assert_array_equal(first.points, second.points)
    assert (first.bar, first.off) == (second.bar, second.off)
    pictures = [
        draw(BoardView("backgammon", f, s, 0.0, False)) for f, s in ((features, 0), (turned, 1))
    ]
    differ = np.argwhere((pictures[0] != pictures[1]).any(-1))
    height = pictures[0].shape[0]
    # Numbers of the points and colour of the dice differ, and no checker.
    rows = set((differ[:, 0] * 26 // height).tolist())
    assert rows <= {0, 12, 13, 25} and rows >= {0, 25}
    # The waiting player observes negated dice.
    waiting = np.concatenate([features[:28], -features[28:]])
    checkers = find_checkers(waiting, 1)
    assert checkers.waits and checkers.turn == 0
    np.testing.assert_array_equal(checkers.points, first.points)


@pytest.mark.parametrize(
    "game, score, result",
    [
        ("backgammon", -1.0, "O won"),
        ("backgammon", 2.0, "X won a gammon"),
        ("backgammon", -3.0, "O won a backgammon"),
        ("hex", 1.0, "X won"),
        ("othello", 0.0, "draw"),
        ("2048", 512.0, ""),
    ],
)
def test_results(game, score, result):
    features = np.zeros(SHAPES.get(game, (34,)), bool)
    final = BoardView(game, features, 0, score, True)
    assert write_result(final) == result
    named = write_result(final, ("the agent", "the opponent"))
    winner = "" if score == 0 or not result else " (the agent)" if score > 0 else " (the opponent)"
    assert named == result + winner


def test_2048_and_minatar():
    tiles = np.zeros((4, 4, 31), bool)
    tiles[..., 0] = True
    tiles[0, 1] = np.arange(31) == 11
    text = write_position(BoardView("2048", tiles, 0, 20000.0, False)).splitlines()
    assert text[0].split() == [".", "2048", ".", "."]
    assert text[-1] == "score 20000"
    picture = draw(BoardView("2048", tiles, 0, 0.0, False))
    assert (picture[:96, 100:188] != picture[96:192, 100:188]).any()
    cells = np.zeros((10, 10, 4), bool)
    cells[9, 3, 0] = cells[2, 5, 3] = True
    minatar = BoardView("minatar-breakout", cells, 0, 1.0, True)
    assert write_position(minatar).splitlines()[9] == ". . . 0 . . . . . ."
    assert write_position(minatar).splitlines()[2] == ". . . . . 3 . . . ."
    assert write_position(minatar).splitlines()[-1] == "score 1, over"
    picture = draw(minatar)
    assert len({tuple(picture[y, x]) for y, x in [(12, 12), (9 * 24 + 9, 81), (60, 130)]}) == 3
