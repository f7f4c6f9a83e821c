"""Moves of Go, Hex and Othello as vertices of the Go Text Protocol, and back.

Actions of pgx number the cells row by row from the top. In Go, rows are numbered from the bottom
and the letter I is skipped; in Hex and Othello, `a1` is the cell at the top left.
"""

import dataclasses

from mukoe.environments.pgx.rules import Rules
from mukoe.errors import UserError

PASS = "pass"
SWAP = "swap-pieces"
RESIGN = "resign"
COLOURS = ("black", "white")
"""Colours in the order of moves."""

_GO_LETTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclasses.dataclass(frozen=True)
class Vertices:
    """Vertices of one board.

    game: name of the game.
    size: number of rows and of columns.
    """

    game: str
    size: int

    @property
    def is_go(self) -> bool:
        """True for Go."""
        return self.game.startswith("go_")

    @property
    def is_hex(self) -> bool:
        """True for Hex."""
        return self.game.startswith("hex")

    @property
    def columns(self) -> str:
        """Letters of the columns."""
        return (_GO_LETTERS if self.is_go else _LETTERS)[: self.size]

    def vertex(self, action: int) -> str:
        """Returns the vertex of an action of pgx."""
        if action == self.size**2:
            return SWAP if self.is_hex else PASS
        row, column = divmod(action, self.size)
        return f"{self.columns[column]}{self.row_number(row)}"

    def row_number(self, row: int) -> int:
        """Returns the number of a row, counted from the top from 0 on."""
        return self.size - row if self.is_go else row + 1

    def action(self, vertex: str) -> int:
        """Returns the action of a vertex.

        Raises:
          ValueError: the text is no vertex of the board.
        """
        name = vertex.lower()
        if name == (SWAP if self.is_hex else PASS):
            return self.size**2
        column, number = self.columns.lower().find(name[:1]), name[1:]
        known = name.isascii() and number.isdecimal() and 1 <= int(number) <= self.size
        if not name or column < 0 or not known:
            raise ValueError(f"'{vertex}' is no vertex of this board")
        row = self.size - int(number) if self.is_go else int(number) - 1
        return row * self.size + column


def speaks_gtp(game: str) -> bool:
    """Returns whether clients of the protocol exist for a game."""
    return game.startswith(("go_", "hex")) or game == "othello"


def vertices_of(rules: Rules) -> Vertices:
    """Returns the vertices of a game's board.

    Raises:
      UserError: the protocol has no such game.
    """
    if not speaks_gtp(rules.name):
        raise UserError(f"GTP is a protocol of Go, Hex and Othello, not of {rules.name}")
    return Vertices(rules.name, rules.spec.observations.features.shape[0])
