"""Perfect play of Connect Four, by the solver `bitbully` with its book of 12 plies."""

import functools
import random
from collections.abc import Mapping, Sequence
from typing import Any

from mukoe.errors import UserError

NAME = "bitbully"
GAME = "connect_four"


class BitbullyEngine:
    """Engine that plays one of the optimal moves at random: the fastest win, the latest loss."""

    def __init__(self, seed: int):
        """Loads the solver.

        Args:
          seed: seed of the choice among optimal moves.

        Raises:
          UserError: the solver is not installed.
        """
        _solver()
        self._random = random.Random(seed)

    def __enter__(self) -> "BitbullyEngine":
        """Has nothing to start."""
        return self

    def __exit__(self, *unused: object) -> None:
        """Has nothing to end."""

    def choose(self, moves: Sequence[int]) -> int | None:
        """Returns an optimal column after `moves`; see `Engine.choose`."""
        scores = move_scores(moves)
        best = max(scores.values())
        return self._random.choice([column for column in sorted(scores) if scores[column] == best])


def move_scores(moves: Sequence[int]) -> Mapping[int, int]:
    """Returns the score of each legal column after `moves`, for the player to move.

    A score is positive for a win, 0 for a draw and negative for a loss under perfect play; its
    size is larger the sooner the game ends.

    Args:
      moves: columns of both players, from the empty board.

    Raises:
      UserError: the solver is not installed.
    """
    return _scores(tuple(map(int, moves)))


@functools.lru_cache(maxsize=100_000)
def _scores(moves: tuple[int, ...]) -> Mapping[int, int]:
    """Solves a position; cached, since an opponent and a judge ask for the same ones."""
    solver = _solver()
    from bitbully import Board

    board = Board()
    for column in moves:
        board.play(column)
    return solver.score_all_moves(board)


@functools.cache
def _solver() -> Any:
    try:
        from bitbully import BitBully
    except ImportError as error:
        raise UserError(
            "perfect play of Connect Four needs the package bitbully; "
            "install it by pip install 'mukoe[engines]'"
        ) from error
    return BitBully()
