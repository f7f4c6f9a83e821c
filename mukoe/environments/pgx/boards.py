"""Positions of the games of pgx as stones and as text."""

from typing import NamedTuple

import numpy as np

EMPTY, FIRST, SECOND = 0, 1, 2
"""Contents of a cell: no stone, or a stone of the player in seat 0 or 1."""

SYMBOLS = ".XO"
"""Symbol of each content of a cell."""

STONE_GAMES = ("tic_tac_toe", "connect_four", "othello", "go_9x9", "hex")
"""Games whose first two feature planes are the stones of the player to move and the other's."""


class BoardView(NamedTuple):
    """Position of one game.

    game: key of the game in `PGX_GAMES`.
    features: `[H, W, C]` bool, in Backgammon `[34]` int, observation of the player to move.
    seat_to_move: seat of the player to move; 0 is the player who moved first.
    score: score of the player who moved first; the score so far of a single player.
    ended: True if the game is over.
    """

    game: str
    features: np.ndarray
    seat_to_move: int
    score: float
    ended: bool


def find_stones(features: np.ndarray, seat_to_move: int) -> np.ndarray:
    """Returns `[H, W]` int of `EMPTY`, `FIRST` and `SECOND`.

    Args:
      features: `[H, W, C]`, whose first two planes are the stones of the player to move and of
        the other player.
      seat_to_move: seat of the player to move.
    """
    own, other = features[..., 0].astype(int), features[..., 1].astype(int)
    return own * FIRST + other * SECOND if seat_to_move == 0 else own * SECOND + other * FIRST


def write_stones(stones: np.ndarray, skewed: bool) -> list[str]:
    """Returns the rows of a board `[H, W]` as text, with column letters and row numbers.

    Args:
      stones: `[H, W]` int, see `find_stones`.
      skewed: True if each row is shifted by half a cell, as in Hex.
    """
    header = "    " + " ".join(column_letter(column) for column in range(stones.shape[1]))
    rows = [
        f"{row + 1:>3} {' ' * (row if skewed else 0)}{' '.join(SYMBOLS[cell] for cell in cells)}"
        for row, cells in enumerate(stones)
    ]
    return [header, *rows]


def column_letter(column: int) -> str:
    """Returns the letter of a column, 'a' for 0."""
    return "abcdefghijklmnopqrstuvwxyz"[column]


def tile_values(features: np.ndarray) -> np.ndarray:
    """Returns the tiles `[4, 4]` int of 2048, 0 for an empty cell."""
    exponents = features.argmax(-1)
    return np.where(exponents > 0, 2**exponents, 0)


def write_position(view: BoardView) -> str:
    """Returns a position as text, with the player to move or the result in the last line."""
    if view.game in STONE_GAMES:
        stones = find_stones(view.features, view.seat_to_move)
        rows = write_stones(stones, skewed=view.game == "hex")
    elif view.game == "2048":
        rows = ["".join(f"{tile or '.':>7}" for tile in row) for row in tile_values(view.features)]
    elif view.game == "backgammon":
        rows = _write_backgammon(view.features)
    else:
        rows = [" ".join(_write_channel(cell) for cell in row) for row in view.features]
    return "\n".join([*rows, _write_status(view)])


def _write_status(view: BoardView) -> str:
    if view.game not in STONE_GAMES:
        return f"score {view.score:g}{', over' if view.ended else ''}"
    if not view.ended:
        return f"{SYMBOLS[FIRST + view.seat_to_move]} to move"
    if view.score == 0:
        return "draw"
    return f"{SYMBOLS[FIRST if view.score > 0 else SECOND]} won"


def _write_channel(cell: np.ndarray) -> str:
    """Returns the first active channel of a cell `[C]` of MinAtar."""
    return str(cell.argmax()) if cell.any() else "."


def _write_backgammon(features: np.ndarray) -> list[str]:
    parts = {
        "points": slice(0, 24),
        "bar": slice(24, 26),
        "off": slice(26, 28),
        "dice": slice(28, 34),
    }
    return [
        f"{name:<7}" + " ".join(f"{n:>3}" for n in features[part]) for name, part in parts.items()
    ]
