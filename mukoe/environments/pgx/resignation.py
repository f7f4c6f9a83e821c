"""Resignation of games of two players that the agent takes for lost."""

import dataclasses

import numpy as np

from mukoe.configuration.bounds import PositiveFloat, PositiveInt
from mukoe.configuration.fields import Validated
from mukoe.types import Array


@dataclasses.dataclass(frozen=True)
class Resignation(Validated):
    """Rule of resignation: the value of the search is below -t at n successive own moves."""

    # t: the agent resigns below the value -t. A lost game has the value -1.
    resign_below: PositiveFloat
    # n: number of successive own moves.
    resign_moves: PositiveInt = 3

    def count(self, value: Array, previous: Array) -> Array:
        """Returns the number of successive own moves with a low value, up to this one.

        Args:
          value: search value of the player to move.
          previous: number up to the previous own move.
        """
        return np.where(value < -self.resign_below, previous + 1, 0)

    def is_due(self, count: Array) -> Array:
        """Returns whether the player resigns, given the number of moves with a low value."""
        return count >= self.resign_moves
