"""Pictures of the games of pgx, drawn from the observation of the player to move."""

import functools
from collections.abc import Callable

import numpy as np

from mukoe.environments.pgx.backgammon_drawing import draw_backgammon
from mukoe.environments.pgx.boards import FIRST, BoardView, find_checkers, find_stones, tile_values
from mukoe.environments.pgx.canvas import (
    CELL,
    INK,
    SMALL_CELL,
    blank_canvas,
    blend,
    cell_centers,
    cross,
    disc,
    finish,
    grid,
    ring,
    write_number,
)
from mukoe.environments.pgx.games import GO_SIZES, HEX_SIZES, PGX_GAMES
from mukoe.environments.pgx.piece_games import PIECE_GAMES, piece_planes

_PAPER = (244, 241, 234)
_RED = (214, 68, 62)
_LIGHT_BLUE = (44, 98, 176)
_BLACK = (28, 28, 30)
_WHITE = (247, 247, 245)
_GRASS = (46, 125, 84)
_WOOD = (222, 184, 122)
_BLUE = (38, 84, 160)
_TRAILS = (_RED, (96, 165, 250), (250, 204, 21))
# Colours of the MinAtar channels; the first channel is the agent in every game.
_CHANNELS = (
    (250, 250, 250),
    (239, 108, 77),
    (96, 165, 250),
    (250, 204, 21),
    (74, 222, 128),
    (192, 132, 252),
    (45, 212, 191),
    (244, 114, 182),
    (163, 163, 163),
    (161, 98, 7),
)


def draw(view: BoardView) -> np.ndarray:
    """Returns a picture `[H, W, 3]` uint8 with even height and width."""
    if PGX_GAMES[view.game].stones:
        draw_stones = _DRAW.get(view.game, _draw_go)
        return draw_stones(find_stones(view.features, view.seat_to_move))
    if view.game == "2048":
        return _draw_2048(tile_values(view.features))
    if view.game == "backgammon":
        return draw_backgammon(find_checkers(view.features, view.seat_to_move))
    if view.game == "nim_3p":
        return _draw_nim(view.features[..., 0])
    if view.game == "tron_3p":
        return _draw_tron(view.features[..., :3], view.features[..., 3:6])
    if view.game in PIECE_GAMES:
        return _draw_channels(piece_planes(view.game, view.features))
    return _draw_channels(view.features)


def _draw_tic_tac_toe(board: np.ndarray) -> np.ndarray:
    image = blank_canvas(board, _PAPER)
    grid(image, INK)
    centers = cell_centers(board)
    for cell in map(tuple, np.argwhere(board)):
        if board[cell] == FIRST:
            cross(image, centers[cell], 0.28 * CELL, 0.14 * CELL, _RED)
        else:
            ring(image, centers[cell], 0.27 * CELL, 0.13 * CELL, _LIGHT_BLUE)
    return finish(image)


def _draw_connect_four(board: np.ndarray) -> np.ndarray:
    image = blank_canvas(board, _BLUE)
    colors = (_PAPER, _RED, (250, 204, 21))
    centers = cell_centers(board)
    for cell in np.ndindex(board.shape):
        disc(image, centers[cell], 0.4 * CELL, colors[board[cell]])
    return finish(image)


def _draw_othello(board: np.ndarray) -> np.ndarray:
    image = blank_canvas(board, _GRASS)
    grid(image, (24, 84, 54))
    return finish(_with_stones(image, board))


def _draw_go(board: np.ndarray) -> np.ndarray:
    image = blank_canvas(board, _WOOD)
    centers = cell_centers(board)
    low, high = CELL // 2, [side * CELL - CELL // 2 for side in board.shape]
    for y in centers[:, 0, 0].astype(int):
        image[y - 2 : y + 2, low : high[1]] = INK
    for x in centers[0, :, 1].astype(int):
        image[low : high[0], x - 2 : x + 2] = INK
    return finish(_with_stones(image, board))


def _with_stones(image: np.ndarray, board: np.ndarray) -> np.ndarray:
    centers = cell_centers(board)
    for cell in map(tuple, np.argwhere(board)):
        disc(image, centers[cell], 0.43 * CELL, INK)
        disc(image, centers[cell], 0.41 * CELL, _BLACK if board[cell] == FIRST else _WHITE)
    return image


@functools.cache
def _hexagons(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the cell of each pixel, and the pixel's distance to the border of the cell.

    Rows are shifted by half a cell. A cell is the region nearest to its centre. The board is
    surrounded by border cells: top and bottom have index `rows * columns`, left and right the
    next index, corners and background the one after.
    """
    size = 0.8 * SMALL_CELL
    row, column = np.indices((rows + 2, columns + 2)).reshape(2, -1)
    y = (row * np.sqrt(3) / 2 + 0.5) * size
    x = (column + 0.5 * row + 0.5) * size
    inside_rows = (row >= 1) & (row <= rows)
    inside_columns = (column >= 1) & (column <= columns)
    cell = np.where(inside_rows, rows * columns + 1, rows * columns)
    cell = np.where(inside_rows & inside_columns, (row - 1) * columns + column - 1, cell)
    cell = np.where(~inside_rows & ~inside_columns, rows * columns + 2, cell)
    pixel_y, pixel_x = np.indices((int(y.max() + size / 2), int(x.max() + size / 2))) + 0.5
    nearest = np.zeros(pixel_y.shape, int)
    best, second = np.full((2, *pixel_y.shape), np.inf)
    for index in range(len(y)):
        distance = np.hypot(pixel_y - y[index], pixel_x - x[index])
        nearest = np.where(distance < best, cell[index], nearest)
        second = np.minimum(second, np.maximum(distance, best))
        best = np.minimum(distance, best)
    return np.where(best < 0.6 * size, nearest, rows * columns + 2), (second - best) / 2


def _draw_hex(board: np.ndarray) -> np.ndarray:
    """Draws Hex: red (moves first) connects top and bottom, blue connects left and right."""
    nearest, inside = _hexagons(*board.shape)
    colors = np.array([_PAPER, _RED, _LIGHT_BLUE], np.float64)[board.ravel()]
    edges = np.array([_RED, _LIGHT_BLUE, _PAPER], np.float64) * 0.45 + 255 * 0.55
    edges[2] = _PAPER
    palette = np.concatenate([colors, edges])
    image = palette[nearest]
    on_board = nearest < board.size
    blend(image, np.where(on_board, 1.0 - inside, -1.0), INK)
    return finish(image)


def _draw_channels(features: np.ndarray) -> np.ndarray:
    """Draws MinAtar: a cell has the colour of its first active channel."""
    colors = np.array([_CHANNELS[c % len(_CHANNELS)] for c in range(features.shape[-1])])
    image = np.where(features.any(-1)[..., None], colors[features.argmax(-1)], 18)
    return finish(np.kron(image, np.ones((SMALL_CELL // 2, SMALL_CELL // 2, 1))))


def _draw_nim(counters: np.ndarray) -> np.ndarray:
    """Draws the heaps of Nim as rows of counters `[H, W]`."""
    image = blank_canvas(counters, _PAPER)
    centers = cell_centers(counters)
    for cell in map(tuple, np.argwhere(counters)):
        disc(image, centers[cell], 0.36 * CELL, INK)
        disc(image, centers[cell], 0.34 * CELL, (250, 204, 21))
    return finish(image)


def _draw_tron(walls: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Draws Tron: cells `[H, W, P]` in the colours of the players, and discs on their heads."""
    board = np.where(walls.any(-1), walls.argmax(-1) + 1, 0)
    image = blank_canvas(board, _BLACK)
    centers = cell_centers(board)
    for row, column in np.argwhere(board):
        color = _TRAILS[board[row, column] - 1]
        image[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = color
        if heads[row, column].any():
            disc(image, centers[row, column], 0.3 * CELL, _WHITE)
    grid(image, INK)
    return finish(image)


def _draw_2048(tiles: np.ndarray) -> np.ndarray:
    image = blank_canvas(tiles, (238, 228, 218))
    for row, column in np.ndindex(tiles.shape):
        tile = int(tiles[row, column])
        cell = image[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
        if tile:
            warmth = min(np.log2(tile) / 11, 1.0)
            cell[...] = np.array((237, 224, 200)) * (1 - warmth) + np.array((230, 90, 40)) * warmth
            write_number(cell, tile)
    grid(image, (187, 173, 160))
    return finish(image)


_DRAW: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tic_tac_toe": _draw_tic_tac_toe,
    "connect_four": _draw_connect_four,
    "othello": _draw_othello,
    **dict.fromkeys(GO_SIZES, _draw_go),
    **dict.fromkeys(HEX_SIZES, _draw_hex),
}
