"""Exact solution of tic-tac-toe."""

import functools
from typing import NamedTuple

import numpy as np

from mukoe.types import Array

NUM_BOARDS = 3**9

POWERS = 3 ** np.arange(9)
"""Weights of the cells in a board index, times 1 for own and 2 for the opponent's stones."""

LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


class Solution(NamedTuple):
    """Values and optimal moves of all boards, for the player to move.

    values: `[3**9]` int8, 1 for a win, 0 for a draw, -1 for a loss under perfect play; 0 on
        unreachable boards.
    best_actions: `[3**9, 9]` bool, True for each move that keeps the value; all False on
        finished and unreachable boards.
    """

    values: np.ndarray
    best_actions: np.ndarray


def board_index(own: Array, opponent: Array) -> Array:
    """Returns the indices `[...]` of boards given as cells `[..., 9]` of 0 and 1."""
    return (own + 2 * opponent) @ POWERS


@functools.cache
def solve_tic_tac_toe() -> Solution:
    """Solves the game by negamax over all reachable boards."""
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
