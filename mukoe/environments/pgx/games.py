"""Games of pgx that mukoe supports, and games of other modules with the same interface."""

import functools
import importlib.util
from collections.abc import Mapping
from typing import Any, NamedTuple

from mukoe.configuration.registry import import_part
from mukoe.errors import UserError

MAX_OPENING_MOVES = 1_000
"""Upper bound of the number of random moves, longer than any game that is played to win."""


class GameTraits(NamedTuple):
    """Properties of a game that pgx does not state.

    players: number of players; two players strictly alternate.
    masked: True if some actions are illegal in some positions.
    max_steps: default number of steps after which an episode is truncated; None if every
        episode ends by the rules.
    chance: True if a position and an action do not determine the next position.
    max_moves: number of moves of the longest game, of all players together; None for a game of
        chance, which has none or a very large one.
    chance_law: True if a search can apply the law of chance, see `mukoe.environments.pgx.chance`.
    stones: True if the first two planes of the features `[H, W, C]` are the stones of the player
        to move and the other's, and action `W y + x` is a move to a cell, or `x` to a column.
    symmetries: symmetries of the board, as in `BoardArray`; '' for none.
    """

    players: int
    masked: bool
    max_steps: int | None
    chance: bool
    max_moves: int | None
    stones: bool = False
    chance_law: bool = False
    symmetries: str = ""


def _board_game(
    max_moves: int, players: int = 2, stones: bool = False, symmetries: str = ""
) -> GameTraits:
    return GameTraits(
        players,
        masked=True,
        max_steps=None,
        chance=False,
        max_moves=max_moves,
        stones=stones,
        symmetries=symmetries,
    )


class _Games(dict[str, GameTraits]):
    """Traits by name; for `package.module:Class` those of that class."""

    def __contains__(self, name: object) -> bool:
        return is_own_game(name) or super().__contains__(name)

    def __missing__(self, name: str) -> GameTraits:
        if not is_own_game(name):
            raise KeyError(name)
        return _own_traits(name)


def is_own_game(name: object) -> bool:
    """Returns whether a name is the import path of a game, `package.module:Class`."""
    return isinstance(name, str) and ":" in name


def make_own_game(name: str) -> Any:
    """Returns the game of an import path, a `pgx.Env`.

    Raises:
      UserError: it cannot be imported, or lacks `num_players` or `max_moves`.
    """
    make = import_part("game", name)
    if not callable(make):
        raise UserError(f"game '{name}' is no class")
    game = make()
    lacking = [each for each in ("init", "step", *_OWN_TRAITS) if not hasattr(game, each)]
    if lacking:
        raise UserError(
            f"game '{name}' lacks {', '.join(lacking)}: it is a pgx.Env with the moves of its "
            "longest game as max_moves"
        )
    return game


_OWN_TRAITS = ("num_players", "max_moves")


@functools.cache
def _own_traits(name: str) -> GameTraits:
    game = make_own_game(name)
    stones = bool(getattr(game, "stones", False))
    symmetries = getattr(game, "symmetries", "")
    return _board_game(int(game.max_moves), int(game.num_players), stones, symmetries)


_BACKGAMMON = GameTraits(players=2, masked=True, max_steps=None, chance=True, max_moves=None)
_2048 = GameTraits(
    players=1,
    masked=True,
    max_steps=None,
    chance=True,
    max_moves=None,
    chance_law=True,
    symmetries="directions",
)
# A strong policy would play Breakout or Freeway forever.
_MINATAR = GameTraits(players=1, masked=False, max_steps=10_000, chance=True, max_moves=None)

GO_SIZES: Mapping[str, int] = {f"go_{size}x{size}": size for size in range(3, 20)}
"""Sizes of the boards of Go. Komi is 7.5, by area scoring; a repeated position loses."""

HEX_SIZES: Mapping[str, int] = {
    **{f"hex_{size}x{size}": size for size in range(3, 11)},
    "hex": 11,
}
"""Sizes of the boards of Hex."""

PGX_GAMES: Mapping[str, GameTraits] = _Games(
    {
        "tic_tac_toe": _board_game(9, stones=True, symmetries="square"),
        "connect_four": _board_game(42, stones=True, symmetries="mirror"),
        # 60 moves, each after a pass of the other player at most.
        "othello": _board_game(120, stones=True, symmetries="square"),
        # pgx ends a game after this number of moves.
        **{
            game: _board_game(2 * size**2, stones=True, symmetries="square")
            for game, size in GO_SIZES.items()
        },
        # A move on every cell, and the swap.
        **{
            game: _board_game(size**2 + 1, stones=True, symmetries="half_turn")
            for game, size in HEX_SIZES.items()
        },
        # pgx ends games of chess and of shogi after these numbers of moves, as a draw.
        "chess": _board_game(512),
        "gardner_chess": _board_game(256),
        "animal_shogi": _board_game(256),
        "shogi": _board_game(512),
        # As many moves as there are counters.
        "nim_3p": _board_game(12, players=3),
        # As many moves as there are free cells at the start.
        "tron_3p": _board_game(46, players=3),
        "backgammon": _BACKGAMMON,
        "minatar-asterix": _MINATAR,
        "minatar-breakout": _MINATAR,
        "minatar-freeway": _MINATAR,
        "minatar-seaquest": _MINATAR,
        "minatar-space_invaders": _MINATAR,
        "2048": _2048,
    }
)
"""Supported games by their names; Go and Hex of any size have names of their own.

A name `package.module:Class` is a game of that module. It is not listed.
"""


def is_searchable(game: str) -> bool:
    """Returns whether a search can apply the rules: there is no chance, or its law is known."""
    if game not in PGX_GAMES:
        return False
    traits = PGX_GAMES[game]
    return traits.chance_law or not traits.chance


def check_searchable(game: str) -> None:
    """Raises a UserError unless a search can apply the rules of the game."""
    if is_searchable(game):
        return
    if game in PGX_GAMES:
        raise UserError(
            f"'{game}' has moves of chance whose law a search of the true rules does not know: "
            "train Stochastic MuZero on it"
        )
    known = ", ".join(name for name in PGX_GAMES if is_searchable(name))
    raise UserError(f"a search cannot apply the rules of '{game}'; games of pgx: {known}")


def require_pgx(game: str) -> None:
    """Raises a UserError unless pgx is installed; does not import it, which starts JAX."""
    if importlib.util.find_spec("pgx") is None:
        raise UserError(
            f"game '{game}' needs the package pgx; install it by pip install 'mukoe[games]'"
        )
