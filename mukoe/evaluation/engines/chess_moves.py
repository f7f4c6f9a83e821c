"""Moves of chess as `chess.Move` and as actions of pgx.

pgx turns the board to the player to move, numbers squares file by file, and has an action
`73 * square + plane`. Planes 0 to 8 are underpromotions, to a rook, a bishop and a knight.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import chess

GAME = "chess"

_PLANES = 73
_NUM_UNDERPROMOTIONS = 9
_UNDERPROMOTIONS = (4, 3, 2)  # chess.ROOK, chess.BISHOP, chess.KNIGHT
_QUEEN = 5


def is_chess(game: str) -> bool:
    """Returns whether a game is chess."""
    return game == GAME


def action_of(board: "chess.Board", move: "chess.Move") -> int:
    """Returns the action of a legal move.

    Args:
      board: position before the move.
      move: legal move.
    """
    promotion = move.promotion or 0
    return _actions()[
        _square(move.from_square, board.turn),
        _square(move.to_square, board.turn),
        0 if promotion == _QUEEN else promotion,
    ]


def legal_moves(board: "chess.Board") -> Mapping[int, "chess.Move"]:
    """Returns the legal moves of a position by their actions."""
    return {action_of(board, move): move for move in board.legal_moves}


def replay(moves: Sequence[int]) -> "chess.Board":
    """Returns the position after actions from the initial position."""
    import chess

    board = chess.Board()
    for action in moves:
        board.push(legal_moves(board)[action])
    return board


def _square(square: int, white: bool) -> int:
    """Returns the number in pgx of a square of `chess`, for the player to move."""
    rank, file = divmod(square, 8)
    return 8 * file + (rank if white else 7 - rank)


@functools.cache
def _actions() -> Mapping[tuple[int, int, int], int]:
    """Returns the action of start, target and underpromotion, 0 without one."""
    from pgx._src.games.chess import FROM_PLANE

    found = {}
    for (start, plane), target in np.ndenumerate(np.asarray(FROM_PLANE)):
        if target >= 0:
            piece = _UNDERPROMOTIONS[plane // 3] if plane < _NUM_UNDERPROMOTIONS else 0
            found[start, int(target), piece] = _PLANES * start + plane
    return found
