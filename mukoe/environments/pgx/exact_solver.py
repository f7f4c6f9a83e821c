"""Tic-tac-toe solved."""

import functools
from typing import NamedTuple

import numpy as np

from mukoe.types import Array

NUM_BOARDS = 3**9

POWERS = 3 ** np.arange(9)
"""The index of a board is the sum of `POWERS` times 1 on own and 2 on the opponent's cells."""

LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


class Solution(NamedTuple):
    """The value and the best moves of every board, for the player to move.

    values: `[3**9]` int8, 1 for a win, 0 for a draw, -1 for a loss under perfect play; 0 on
        boards that no game reaches.
    best_actions: `[3**9, 9]` bool, True on each move that keeps the value; all False on boards
        where the game is over and on those that no game reaches.
    """

    values: np.ndarray
    best_actions: np.ndarray


def board_index(own: Array, opponent: Array) -> Array:
    """Returns the indices `[...]` of boards given as cells `[..., 9]` of 0 and 1."""
    return (own + 2 * opponent) @ POWERS


@functools.cache
def solve_tic_tac_toe() -> Solution:
    """Returns the solution, by negamax over all boards that games reach."""
    values = np.zeros(NUM_BOARDS, np.int8)
    best_actions = np.zeros((NUM_BOARDS, 9), bool)
    visited: set[int] = set()

    def negamax(own: frozenset[int], opponent: frozenset[int]) -> int:
        index = int(sum(POWERS[list(own)]) + 2 * sum(POWERS[list(opponent)]))
        if index in visited:
            return int(values[index])
        visited.add(index)
        if any(opponent.issuperset(line) for line in LINES):
            values[index] = -1
        elif len(own) + len(opponent) < 9:
            empty = set(range(9)) - own - opponent
            scores = {cell: -negamax(opponent, own | {cell}) for cell in empty}
            values[index] = max(scores.values())
            best_actions[index, [c for c, score in scores.items() if score == values[index]]] = True
        return int(values[index])

    negamax(frozenset(), frozenset())
    return Solution(values, best_actions)
