"""Pictures and texts of hand-made positions."""

import numpy as np
import pytest

from mukoe.environments.pgx.board_drawing import draw
from mukoe.environments.pgx.boards import BoardView, find_stones, write_position

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
            assert max(height, width) <= 50  # One cell is 48 pixels at most.
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


def test_2048_and_minatar():
    tiles = np.zeros((4, 4, 31), bool)
    tiles[..., 0] = True
    tiles[0, 1] = np.arange(31) == 11
    text = write_position(BoardView("2048", tiles, 0, 20000.0, False)).splitlines()
    assert text[0].split() == [".", "2048", ".", "."]
    assert text[-1] == "score 20000"
    picture = draw(BoardView("2048", tiles, 0, 0.0, False))
    assert (picture[:48, 50:94] != picture[48:96, 50:94]).any()
    cells = np.zeros((10, 10, 4), bool)
    cells[9, 3, 0] = cells[2, 5, 3] = True
    minatar = BoardView("minatar-breakout", cells, 0, 1.0, True)
    assert write_position(minatar).splitlines()[9] == ". . . 0 . . . . . ."
    assert write_position(minatar).splitlines()[2] == ". . . . . 3 . . . ."
    assert write_position(minatar).splitlines()[-1] == "score 1, over"
    picture = draw(minatar)
    assert len({tuple(picture[y, x]) for y, x in [(12, 12), (9 * 24 + 9, 81), (60, 130)]}) == 3
