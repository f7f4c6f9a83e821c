"""Exact solution of Nim for three players, by max^n (Luckhardt & Irani, AAAI 1986)."""

import functools
from typing import NamedTuple

import numpy as np

from mukoe.environments.pgx.multiplayer.nim import HEAPS

_PLAYERS = 3


class SolvedNim(NamedTuple):
    """Solution of all positions, indexed by the counters of each heap.

    values: `[4, 5, 6, 3]` float32, values of the player to move and of the players behind them.
    best_actions: `[4, 5, 6, A]` bool, True for moves that reach the value of the player to move;
        False everywhere without counters.
    """

    values: np.ndarray
    best_actions: np.ndarray


@functools.cache
def solve_nim() -> SolvedNim:
    """Returns the solution."""
    sizes = [size + 1 for size in HEAPS]
    values = np.zeros((*sizes, _PLAYERS), np.float32)
    best_actions = np.zeros((*sizes, len(HEAPS) * max(HEAPS)), bool)
    # The player to move without counters has lost to the player who moved before.
    values[0, 0, 0] = (-1, 0, 1)
    for heaps in np.ndindex(*sizes):
        qvalues = {}
        for heap, counters in enumerate(heaps):
            for taken in range(1, counters + 1):
                after = (*heaps[:heap], counters - taken, *heaps[heap + 1 :])
                # The player to move is the last one behind the next player.
                qvalues[heap * max(HEAPS) + taken - 1] = np.roll(values[after], 1)
        if qvalues:
            best = max(qvalues.values(), key=lambda value: value[0])
            values[heaps] = best
            optimal = [action for action, value in qvalues.items() if value[0] == best[0]]
            best_actions[heaps][optimal] = True
    return SolvedNim(values, best_actions)
