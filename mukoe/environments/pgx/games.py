"""Games of pgx that mukoe supports."""

import importlib.util
from collections.abc import Mapping
from typing import NamedTuple

from mukoe.errors import UserError

MAX_OPENING_MOVES = 1_000
"""Upper bound of the number of random moves, longer than any game that is played to win."""


class GameTraits(NamedTuple):
    """Properties of a game that pgx does not state.

    players: number of players, 1 or 2; two players strictly alternate.
    masked: True if some actions are illegal in some positions.
    max_steps: default number of steps after which an episode is truncated; None if every
        episode ends by the rules.
    """

    players: int
    masked: bool
    max_steps: int | None


_TWO_PLAYERS = GameTraits(players=2, masked=True, max_steps=None)
# A strong policy would play Breakout or Freeway forever.
_MINATAR = GameTraits(players=1, masked=False, max_steps=10_000)

PGX_GAMES: Mapping[str, GameTraits] = {
    "tic_tac_toe": _TWO_PLAYERS,
    "connect_four": _TWO_PLAYERS,
    "othello": _TWO_PLAYERS,
    "go_9x9": _TWO_PLAYERS,
    "hex": _TWO_PLAYERS,
    "backgammon": _TWO_PLAYERS,
    "minatar-asterix": _MINATAR,
    "minatar-breakout": _MINATAR,
    "minatar-freeway": _MINATAR,
    "minatar-seaquest": _MINATAR,
    "minatar-space_invaders": _MINATAR,
    "2048": GameTraits(players=1, masked=True, max_steps=None),
}
"""Supported games by their names in pgx."""


def require_pgx(game: str) -> None:
    """Raises a UserError unless pgx is installed; does not import it, which starts JAX."""
    if importlib.util.find_spec("pgx") is None:
        raise UserError(
            f"game '{game}' needs the package pgx; install it by pip install 'mukoe[games]'"
        )
