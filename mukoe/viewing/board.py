"""Boards whose positions are stones on cells."""

import dataclasses

import numpy as np

from mukoe.environments.pgx.boards import BoardView, find_stones
from mukoe.environments.pgx.games import HEX_SIZES, PGX_GAMES
from mukoe.types import EnvironmentSpec


@dataclasses.dataclass(frozen=True)
class Board:
    """Board of a game, on which a move selects a cell or a column.

    rows, columns: size of the board.
    by_column: True if a move selects a column.
    skewed: True if each row is shifted by half a cell to the right of the row above, as in Hex.
    """

    rows: int
    columns: int
    by_column: bool
    skewed: bool

    def stones(self, view: BoardView) -> np.ndarray:
        """Returns the stones `[R, C]` int of a position, see `find_stones`."""
        return find_stones(view.features, view.seat_to_move)


def find_board(spec: EnvironmentSpec, game: str) -> Board | None:
    """Returns the board of a game of pgx, None for games without stones on cells.

    Args:
      spec: specs of one environment.
      game: name of the game; in Hex rows are skewed.
    """
    if game not in PGX_GAMES or not PGX_GAMES[game].stones:
        return None
    rows, columns, _ = spec.observations.features.shape
    return Board(rows, columns, game == "connect_four", game in HEX_SIZES)
