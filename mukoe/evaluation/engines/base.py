"""Contract of engines: programs and solvers that play outside of JAX."""

import contextlib
from collections.abc import Sequence
from typing import Protocol


class Engine(contextlib.AbstractContextManager, Protocol):
    """Player outside of JAX. Its process runs while the engine is entered as a context."""

    def choose(self, moves: Sequence[int]) -> int | None:
        """Returns the action in the position after `moves` from the initial one.

        Args:
          moves: actions of both players.

        Returns:
          The action; None if the engine resigns.

        Raises:
          UserError: the engine fails, refuses a move or exceeds its time.
        """
