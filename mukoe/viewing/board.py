"""Boards of two-player games: names of the actions, and positions as text."""

import dataclasses

import numpy as np

from mukoe.environments.pgx.boards import column_letter, find_stones, write_stones
from mukoe.environments.vector import VectorEnvironment
from mukoe.types import EnvironmentSpec, MaskedObservation, Nest, is_continuous, plays_in_turns


@dataclasses.dataclass(frozen=True)
class Board:
    """Board of a game.

    A move is a cell, named by the letter of its column and the number of its row, counted
    from the top ('b2'), or a column, named by its letter.

    rows, columns: size of the board.
    by_column: True if a move selects a column.
    skewed: True if each row is shifted by half a cell to the right of the row above, as in Hex.
    names: names of all actions, including those that are not cells.
    """

    rows: int
    columns: int
    by_column: bool
    skewed: bool
    names: tuple[str, ...]

    def stones(self, observation: Nest, seat_to_move: int) -> np.ndarray:
        """Returns the stones `[R, C]` int of an observation `[1, ...]`, see `find_stones`."""
        return find_stones(observation.features[0], seat_to_move)

    def write(self, stones: np.ndarray) -> str:
        """Returns the stones `[R, C]` as text, with column letters and row numbers."""
        return "\n".join(write_stones(stones, self.skewed))


def find_board(spec: EnvironmentSpec, game: str) -> Board | None:
    """Returns the board of a two-player game, None for other environments.

    Args:
      spec: specs of one environment.
      game: name of the game; in 'hex' rows are skewed and the last action swaps the sides.
    """
    if not isinstance(spec.observations, MaskedObservation) or not plays_in_turns(spec):
        return None
    rows, columns, _ = spec.observations.features.shape
    count = int(spec.actions.num_values)
    if count == columns:
        names = [column_letter(column) for column in range(columns)]
    elif count - rows * columns in (0, 1):
        cells = [f"{column_letter(c)}{r + 1}" for r in range(rows) for c in range(columns)]
        names = (cells + ["swap" if game == "hex" else "pass"])[:count]
    else:
        return None
    return Board(rows, columns, count == columns, game == "hex", tuple(names))


def action_names(environment: VectorEnvironment, game: str) -> list[str]:
    """Returns a name for each action: the environment's name, the board cell, or the number.

    The list is empty for continuous actions.
    """
    for owner in getattr(environment, "environments", ())[:1]:
        if hasattr(owner, "action_names"):
            return list(owner.action_names())
    if board := find_board(environment.spec, game):
        return list(board.names)
    if is_continuous(environment.spec):
        return []
    return [str(action) for action in range(int(environment.spec.actions.num_values))]
