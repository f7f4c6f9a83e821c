"""Boards: which action is which square, and how a position is written."""

import dataclasses

import numpy as np

from mukoe.environments.vector import VectorEnvironment
from mukoe.types import EnvironmentSpec, MaskedObservation, Nest, is_continuous, plays_in_turns

EMPTY, FIRST, SECOND = 0, 1, 2
SIGNS = ".XO"
"""How an empty square and the stones of the first and the second player are written."""


@dataclasses.dataclass(frozen=True)
class Board:
    """The board of a game.

    A move is a square, named by the letter of its column and the number of its row, counted
    from the top: 'b2'; or a whole column, named by its letter.

    rows, columns: its size.
    by_column: whether a move chooses a column.
    skewed: whether each row lies half a square to the right of the one above, as in Hex.
    names: of the actions, those that are no squares included.
    """

    rows: int
    columns: int
    by_column: bool
    skewed: bool
    names: tuple[str, ...]

    def stones(self, observation: Nest, seat_to_move: int) -> np.ndarray:
        """Returns `[R, C]` of `EMPTY`, `FIRST` and `SECOND` from an observation `[1, ...]`.

        The first two planes are the stones of the player to move and of the other.
        """
        own, other = (observation.features[0, ..., plane].astype(int) for plane in (0, 1))
        return own * FIRST + other * SECOND if seat_to_move == 0 else own * SECOND + other * FIRST

    def write(self, stones: np.ndarray) -> str:
        """Returns a position as text, with letters above and numbers at the left."""
        letters = "    " + " ".join(_letter(column) for column in range(self.columns))
        lines = [
            f"{row + 1:>3} {' ' * (row if self.skewed else 0)}{' '.join(SIGNS[s] for s in squares)}"
            for row, squares in enumerate(stones)
        ]
        return "\n".join([letters, *lines])


def find_board(spec: EnvironmentSpec, game: str) -> Board | None:
    """Returns the board of a game of two players, None for anything else.

    Args:
      spec: of one environment.
      game: its name; in 'hex' rows are skewed, and the last action swaps the sides.
    """
    if not isinstance(spec.observations, MaskedObservation) or not plays_in_turns(spec):
        return None
    rows, columns, _ = spec.observations.features.shape
    count = int(spec.actions.num_values)
    if count == columns:
        names = [_letter(column) for column in range(columns)]
    elif count - rows * columns in (0, 1):
        squares = [f"{_letter(c)}{r + 1}" for r in range(rows) for c in range(columns)]
        names = (squares + ["swap" if game == "hex" else "pass"])[:count]
    else:
        return None
    return Board(rows, columns, count == columns, game == "hex", tuple(names))


def action_names(environment: VectorEnvironment, game: str) -> list[str]:
    """Returns a name for each action: the environment's own, squares of a board, or numbers.

    There are none for continuous actions.
    """
    for owner in getattr(environment, "environments", ())[:1]:
        if hasattr(owner, "action_names"):
            return list(owner.action_names())
    if board := find_board(environment.spec, game):
        return list(board.names)
    if is_continuous(environment.spec):
        return []
    return [str(action) for action in range(int(environment.spec.actions.num_values))]


def _letter(column: int) -> str:
    return "abcdefghijklmnopqrstuvwxyz"[column]
