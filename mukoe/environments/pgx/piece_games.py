"""Chess and shogi of pgx: names of their moves, and positions as text.

pgx turns the board to the player to move, whose first row is at the bottom. Names of squares and
moves are those of that player: `e2e4` moves the king's pawn of either player in chess.
"""

import string
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Pieces(NamedTuple):
    """Pieces of a game.

    letters: symbol of each piece of a player. The planes of the features begin with these pieces
        of the player to move.
    other: index of the first plane with a piece of the other player.
    side: number of rows of the board.
    columns: number of columns of the board.
    """

    letters: str
    other: int
    side: int
    columns: int


PIECE_GAMES: Mapping[str, Pieces] = {
    "chess": Pieces("PNBRQK", 6, 8, 8),
    "gardner_chess": Pieces("PNBRQK", 6, 5, 5),
    # Chick, elephant, giraffe, lion, hen.
    "animal_shogi": Pieces("CEGLH", 5, 4, 3),
    # Promoted pieces: T is a pawn, A lance, M knight, D silver, H bishop, J rook.
    "shogi": Pieces("PLNSBRGKTAMDHJ", 31, 9, 9),
}
"""Games with pieces of several kinds."""

_UNDERPROMOTIONS = "rbn"
_NUM_UNDERPROMOTIONS = 9
_STEPS = ("up", "up_left", "up_right", "left", "right", "down", "down_left", "down_right")
_JUMPS = ("jump_left", "jump_right")
_SHOGI_DROPS = tuple(f"drop_{letter}" for letter in "PLNSBRG")
_ANIMAL_STEPS = ("up_right", "right", "down_right", "up", "down", "up_left", "left", "down_left")
_ANIMAL_DROPS = ("drop_C", "drop_E", "drop_G")


def piece_planes(game: str, features: np.ndarray) -> np.ndarray:
    """Returns the planes `[H, W, 2 K]` bool of the pieces, own ones first.

    Args:
      game: one of `PIECE_GAMES`.
      features: `[H, W, C]` observation of the player to move.
    """
    pieces, kinds = PIECE_GAMES[game], np.arange(len(PIECE_GAMES[game].letters))
    return np.asarray(features[..., [*kinds, *(pieces.other + kinds)]] > 0)


def write_pieces(game: str, features: np.ndarray) -> list[str]:
    """Returns the rows of a board as text, as the player to move sees it.

    The pieces of the player to move are capital letters.

    Args:
      game: one of `PIECE_GAMES`.
      features: `[H, W, C]` observation of the player to move.
    """
    pieces = PIECE_GAMES[game]
    symbols = np.array([*pieces.letters, *pieces.letters.lower()])
    planes = piece_planes(game, features)
    cells = np.where(planes.any(-1), symbols[planes.argmax(-1)], ".")
    header = "    " + " ".join(string.ascii_lowercase[: pieces.columns])
    rows = [f"{pieces.side - row:>3} {' '.join(line)}" for row, line in enumerate(cells)]
    return [header, *rows]


def piece_moves(game: str) -> tuple[str, ...]:
    """Returns the name of each action of one of `PIECE_GAMES`.

    In chess it is the square that is left and the one that is entered, such as `e2e4`, with the
    piece of an underpromotion; an action that no piece can make is named by its plane, `h1:17`. In
    shogi it is the direction of the move or the dropped piece, and the square that is entered; in
    animal shogi the square that is left, or that of the drop.
    """
    if game == "chess":
        from pgx._src.games.chess import FROM_PLANE as TARGETS

        return _chess_moves(np.asarray(TARGETS), PIECE_GAMES[game].side)
    if game == "gardner_chess":
        from pgx.gardner_chess import TO_MAP as TARGETS

        return _chess_moves(np.asarray(TARGETS), PIECE_GAMES[game].side)
    if game == "shogi":
        moves = [*_STEPS, *_JUMPS]
        kinds = [*moves, *(f"{move}+" for move in moves), *_SHOGI_DROPS]
    else:
        kinds = [*_ANIMAL_STEPS, *_ANIMAL_DROPS]
    side, columns = PIECE_GAMES[game].side, PIECE_GAMES[game].columns
    # Squares are numbered from the top right, column by column.
    squares = [
        f"{string.ascii_lowercase[columns - 1 - square // side]}{side - square % side}"
        for square in range(side * columns)
    ]
    return tuple(f"{kind}:{square}" for kind in kinds for square in squares)


def _chess_moves(targets: np.ndarray, side: int) -> tuple[str, ...]:
    """Returns the names of moves by the square that is left and the plane.

    Args:
      targets: `[side ** 2, P]` int, entered square of each plane; -1 outside the board.
      side: number of rows and columns.
    """
    squares = [
        f"{string.ascii_lowercase[index // side]}{index % side + 1}" for index in range(side**2)
    ]
    names = []
    for start, entered in enumerate(targets):
        for plane, target in enumerate(entered):
            if target < 0:
                names.append(f"{squares[start]}:{plane}")
            else:
                under = plane < _NUM_UNDERPROMOTIONS
                piece = _UNDERPROMOTIONS[plane // 3] if under else ""
                names.append(f"{squares[start]}{squares[target]}{piece}")
    return tuple(names)
