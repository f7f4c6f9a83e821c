"""Pictures of Backgammon."""

import numpy as np

from mukoe.environments.pgx.boards import Checkers
from mukoe.environments.pgx.canvas import INK, SMALL_CELL, Color, blend, disc, finish, write_number

_FELT = (236, 226, 205)
_FRAME = (122, 84, 56)
_POINTS = ((196, 164, 126), (158, 112, 82))
_PLAYERS = ((214, 68, 62), (44, 98, 176))
"""Colours of the checkers of seat 0 and 1."""
_LIGHT = (247, 247, 245)

_STACK = 5
"""Checkers that are shown on a point; a number stands for more."""
_LABEL = 22
"""Height of the numbers of the points in pixels."""
_HEIGHT = 2 * (_LABEL + _STACK * SMALL_CELL) + SMALL_CELL
_BAR, _OFF = 6, 13
"""Columns of the bar and of the checkers that were borne off."""


def draw_backgammon(checkers: Checkers) -> np.ndarray:
    """Returns a picture `[H, W, 3]` uint8 with even height and width.

    Seat 0 (red) moves from the top right over the left to the bottom right. The points are
    numbered for the player whose turn it is, whose dice lie in the middle.
    """
    image = np.full((_HEIGHT, (_OFF + 1) * SMALL_CELL, 3), _FELT, np.float64)
    for column in (_BAR, _OFF):
        image[:, column * SMALL_CELL : (column + 1) * SMALL_CELL] = _FRAME
    for index, (number, count) in enumerate(
        zip(checkers.point_numbers, checkers.points, strict=True)
    ):
        top = index < 12
        column = 11 - index if top else index - 12
        column += column >= _BAR
        _draw_point(image, column, top, _POINTS[index % 2])
        _write(image, _LABEL // 2 if top else _HEIGHT - _LABEL // 2, column, number, INK, 2)
        _draw_stack(image, column, top, abs(count), int(count < 0))
    for seat, top in ((0, False), (1, True)):
        # Checkers on the bar enter at the side opposite to their home.
        _draw_stack(image, _BAR, not top, checkers.bar[seat], seat)
        _draw_stack(image, _OFF, top, checkers.off[seat], seat)
    for place, die in enumerate(checkers.dice):
        _draw_die(image, 8 + place, die, _PLAYERS[checkers.turn])
    return finish(image)


def _draw_point(image: np.ndarray, column: int, top: bool, color: Color) -> None:
    """Draws the triangle of a point."""
    height = _STACK * SMALL_CELL - 8
    y, x = np.ogrid[:height, :SMALL_CELL]
    inside = (1 - y / height) * SMALL_CELL / 2 - np.abs(x + 0.5 - SMALL_CELL / 2)
    area = image[_LABEL : _LABEL + height] if top else image[-_LABEL - height : -_LABEL][::-1]
    blend(area[:, column * SMALL_CELL : (column + 1) * SMALL_CELL], inside, color)


def _draw_stack(image: np.ndarray, column: int, top: bool, count: int, seat: int) -> None:
    """Draws the checkers of a point, the bar or the borne-off ones."""
    for place in range(min(count, _STACK)):
        y = _LABEL + (place + 0.5) * SMALL_CELL
        center = np.array([y if top else _HEIGHT - y, (column + 0.5) * SMALL_CELL])
        disc(image, center, 0.46 * SMALL_CELL, INK)
        disc(image, center, 0.43 * SMALL_CELL, _PLAYERS[seat])
    if count > _STACK:
        y = int(_LABEL + (_STACK - 0.5) * SMALL_CELL)
        _write(image, y if top else _HEIGHT - y, column, count, _LIGHT, 4)


def _draw_die(image: np.ndarray, column: int, die: int, color: Color) -> None:
    side = SMALL_CELL - 10
    top, left = (_HEIGHT - side) // 2, column * SMALL_CELL + 5
    area = image[top : top + side, left : left + side]
    area[...] = color
    write_number(area, die, _LIGHT, 5)


def _write(image: np.ndarray, y: int, column: int, number: int, color: Color, scale: int) -> None:
    half = 5 * scale // 2 + 1
    area = image[y - half : y + half, column * SMALL_CELL : (column + 1) * SMALL_CELL]
    write_number(area, number, color, scale)
