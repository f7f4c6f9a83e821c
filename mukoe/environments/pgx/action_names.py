"""Names of the actions of the games of pgx."""

from mukoe.environments.pgx.boards import column_letter
from mukoe.environments.pgx.games import HEX_SIZES, PGX_GAMES
from mukoe.environments.pgx.piece_games import PIECE_GAMES, piece_moves
from mukoe.types import EnvironmentSpec

PASS = "pass"

_LEFT_UP_RIGHT_DOWN = ("left", "up", "right", "down")
# MinAtar has its minimal action sets in pgx.
_NAMES = {
    "2048": _LEFT_UP_RIGHT_DOWN,
    "tron_3p": _LEFT_UP_RIGHT_DOWN,
    "minatar-asterix": ("noop", *_LEFT_UP_RIGHT_DOWN),
    "minatar-breakout": ("noop", "left", "right"),
    "minatar-freeway": ("noop", "up", "down"),
    "minatar-seaquest": ("noop", *_LEFT_UP_RIGHT_DOWN, "fire"),
    "minatar-space_invaders": ("noop", "left", "right", "fire"),
}


def action_names(game: str, spec: EnvironmentSpec) -> tuple[str, ...]:
    """Returns the name of each action of a game.

    A cell is named by the letter of its column and the number of its row, counted from the top
    ('b2'), a column by its letter. A move of Backgammon is written as '13/7', from and to points
    that are numbered for the player to move, with 'bar' and 'off'; '3/off:5' bears a checker off
    with a die that is higher than its point. A move of Nim is written as '2-3': from heap 2 three.

    Args:
      game: key of the game in `PGX_GAMES`.
      spec: specs of one environment.
    """
    if game in _NAMES:
        return _NAMES[game]
    if game == "backgammon":
        return tuple(_backgammon_move(action) for action in range(int(spec.actions.num_values)))
    if game in PIECE_GAMES:
        return piece_moves(game)
    if game == "nim_3p":
        heaps, largest, _ = spec.observations.features.shape
        return tuple(f"{h}-{n}" for h in range(1, heaps + 1) for n in range(1, largest + 1))
    if not PGX_GAMES[game].stones:
        return tuple(str(action) for action in range(int(spec.actions.num_values)))
    rows, columns, _ = spec.observations.features.shape
    if game == "connect_four":
        return tuple(column_letter(column) for column in range(columns))
    cells = [
        f"{column_letter(column)}{row + 1}" for row in range(rows) for column in range(columns)
    ]
    last = "swap" if game in HEX_SIZES else PASS
    return (*cells, last)[: int(spec.actions.num_values)]


def _backgammon_move(action: int) -> str:
    """Returns the name of the action `6 * source + die - 1` of pgx.

    Source 0 passes, 1 is the bar, and source 2 is point 24, the last one of the player to move.
    """
    source, die = action // 6, action % 6 + 1
    if source == 0:
        return PASS
    point = 26 - source
    start = "bar" if source == 1 else str(point)
    if point > die:
        return f"{start}/{point - die}"
    return f"{start}/off" + f":{die}" * (die > point)
