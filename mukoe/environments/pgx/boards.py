"""Positions of the games of pgx as stones and as text."""

from typing import NamedTuple

import numpy as np

from mukoe.environments.pgx.games import HEX_SIZES, PGX_GAMES
from mukoe.environments.pgx.piece_games import PIECE_GAMES, write_pieces

EMPTY, FIRST, SECOND = 0, 1, 2
"""Contents of a cell: no stone, or a stone of the player in seat 0 or 1."""

SYMBOLS = ".XO"
"""Symbol of each content of a cell."""


class BoardView(NamedTuple):
    """Position of one game.

    game: key of the game in `PGX_GAMES`.
    features: `[H, W, C]` bool, in Backgammon `[34]` int, observation of the player to move.
    seat_to_move: seat of the player to move; 0 is the player who moved first.
    score: score of the player who moved first; the score so far of a single player.
    ended: True if the game is over.
    winner: seat of the winner of a finished game of three and more players; None for other games.
    """

    game: str
    features: np.ndarray
    seat_to_move: int
    score: float
    ended: bool
    winner: int | None = None


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


class Checkers(NamedTuple):
    """Position of Backgammon.

    turn: seat of the player whose turn it is.
    waits: True if the player to move is the other one, which passes between two moves of a turn.
    points: `[24]` int, checkers of seat 0 positive, of seat 1 negative. Seat 0 moves from its
        point 24, at index 0, to its point 1, at index 23.
    bar: numbers of checkers on the bar of seat 0 and 1.
    off: numbers of checkers borne off of seat 0 and 1.
    dice: dice left in the turn.
    """

    turn: int
    waits: bool
    points: np.ndarray
    bar: tuple[int, int]
    off: tuple[int, int]
    dice: list[int]

    @property
    def point_numbers(self) -> np.ndarray:
        """Numbers `[24]` int of the points for the player whose turn it is."""
        numbers = np.arange(24, 0, -1)
        return numbers if self.turn == 0 else numbers[::-1]


def find_checkers(features: np.ndarray, seat_to_move: int) -> Checkers:
    """Returns a position of Backgammon.

    Args:
      features: `[34]` int, see `mukoe.environments.pgx.alternation`.
      seat_to_move: seat of the player to move.
    """
    points, bar, off, dice = np.split(features.astype(int), [24, 26, 28])
    waits = bool((dice < 0).any())
    turn = 1 - seat_to_move if waits else seat_to_move
    order = slice(None) if turn == 0 else slice(None, None, -1)
    return Checkers(
        turn=turn,
        waits=waits,
        points=points if turn == 0 else -points[::-1],
        bar=tuple(np.abs(bar)[order].tolist()),
        off=tuple(np.abs(off)[order].tolist()),
        dice=[number for number, count in enumerate(np.abs(dice), 1) for _ in range(count)],
    )


def write_checkers(checkers: Checkers) -> list[str]:
    """Returns a position of Backgammon as text: 5X are five checkers of seat 0."""
    names = [f"{abs(n)}{_symbol(int(n < 0))}" if n else "." for n in checkers.points]
    numbers = checkers.point_numbers
    # Points 13 to 24 of seat 0 are at the top, 12 to 1 at the bottom.
    rows = (numbers[11::-1], names[11::-1], names[12:], numbers[12:])
    lines = [
        " ".join(f"{entry:>3}" for entry in row[:6])
        + "  | "
        + " ".join(f"{entry:>3}" for entry in row[6:])
        for row in rows
    ]
    (bar_x, bar_o), (off_x, off_o) = checkers.bar, checkers.off
    note = f"bar X {bar_x} O {bar_o}  off X {off_x} O {off_o}"
    return [*lines, f"{note}  (points as numbered for {_symbol(checkers.turn)})"]


def tile_values(features: np.ndarray) -> np.ndarray:
    """Returns the tiles `[4, 4]` int of 2048, 0 for an empty cell."""
    exponents = features.argmax(-1)
    return np.where(exponents > 0, 2**exponents, 0)


def write_position(view: BoardView) -> str:
    """Returns a position as text, with the player to move or the result in the last line."""
    if PGX_GAMES[view.game].stones:
        stones = find_stones(view.features, view.seat_to_move)
        rows = write_stones(stones, skewed=view.game in HEX_SIZES)
    elif view.game == "2048":
        rows = ["".join(f"{tile or '.':>7}" for tile in row) for row in tile_values(view.features)]
    elif view.game in PIECE_GAMES:
        rows = write_pieces(view.game, view.features)
    elif view.game == "backgammon":
        rows = write_checkers(find_checkers(view.features, view.seat_to_move))
    elif view.game == "nim_3p":
        rows = [f"{heap} {'o' * counters}" for heap, counters in enumerate(_counters(view), 1)]
    elif view.game == "tron_3p":
        rows = [" ".join(map(_write_trail, row)) for row in view.features]
    else:
        rows = [" ".join(_write_channel(cell) for cell in row) for row in view.features]
    return "\n".join([*rows, _write_status(view)])


def write_result(view: BoardView, players: tuple[str, str] = ("", "")) -> str:
    """Returns the result of a finished game, such as 'X won'; empty for a single player.

    Args:
      view: final position.
      players: names of the players in seat 0 and 1, written after the winner's symbol.
    """
    if PGX_GAMES[view.game].players == 1:
        return ""
    if view.winner is not None:
        return f"{player_letter(view.winner)} won"
    if view.score == 0:
        return "draw"
    winner = 0 if view.score > 0 else 1
    # Backgammon: a gammon counts twice, a backgammon three times.
    points = {2: " a gammon", 3: " a backgammon"}.get(int(abs(view.score)), "")
    return f"{_symbol(winner)} won{points}" + f" ({players[winner]})" * bool(players[winner])


def _write_status(view: BoardView) -> str:
    if PGX_GAMES[view.game].players == 1:
        return f"score {view.score:g}{', over' if view.ended else ''}"
    if view.ended:
        return write_result(view)
    if view.winner is not None:
        return f"{player_letter(view.seat_to_move)} to move"
    if view.game == "backgammon":
        return _write_dice(find_checkers(view.features, view.seat_to_move))
    return f"{_symbol(view.seat_to_move)} to move"


def _counters(view: BoardView) -> list[int]:
    """Returns the counters of each heap of Nim."""
    return view.features[..., 0].sum(axis=1).tolist()


def _write_trail(cell: np.ndarray) -> str:
    """Returns a cell `[9]` of Tron: 'A' for the head of seat 0, 'a' for its walls."""
    walls, heads = cell[:3], cell[3:6]
    if not walls.any():
        return "."
    letter = player_letter(int(walls.argmax()))
    return letter if heads.any() else letter.lower()


def player_letter(seat: int) -> str:
    """Returns the letter of a seat in games of three and more players, 'A' for 0."""
    return "ABCDEFGH"[seat]


def _write_dice(checkers: Checkers) -> str:
    turn, dice = _symbol(checkers.turn), " ".join(map(str, checkers.dice))
    if checkers.waits:
        return f"{_symbol(1 - checkers.turn)} passes: {turn} has {dice} left"
    return f"{turn} to move: {dice}"


def _write_channel(cell: np.ndarray) -> str:
    """Returns the first active channel of a cell `[C]` of MinAtar."""
    return str(cell.argmax()) if cell.any() else "."


def _symbol(seat: int) -> str:
    return SYMBOLS[FIRST + seat]
