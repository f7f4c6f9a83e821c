"""Stretches of stored rows, whose extras can be rewritten."""

from typing import NamedTuple

import numpy as np

from mukoe.replay.in_process.row_pool import PADDING
from mukoe.types import Row


class Stretch(NamedTuple):
    """Rows of consecutive items, oldest first, each once.

    These are the own step `t` of each item and, in the last item of an episode, the final
    observation. `N` is fixed; padding fills up.

    keys: `[N]` int64 key of each row's item; -1 for padding.
    slots: `[N]` slot of each row in the pool.
    rows: windows `[N, H+1, ...]`, each row behind its history.
    next_key: key of the item that follows.
    """

    keys: np.ndarray
    slots: np.ndarray
    rows: Row
    next_key: int

    @property
    def num_rows(self) -> int:
        """Number of rows without padding."""
        return int(np.sum(self.keys >= 0))


def stretch_windows(
    item_rows: np.ndarray, history: int, is_final: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the windows of the first items whose rows fit into a stretch.

    Args:
      item_rows: `[n, T]` slots of the rows of `n` consecutive items.
      history: `H`.
      is_final: `[n]` bool, True where row `H + 1` is the final observation of an episode.
      size: `N`, at least 2.

    Returns:
      Index of the item `[N]` of each window, -1 for padding, and slots `[N, H+1]`.
    """
    windows = np.stack([item_rows[:, : history + 1], item_rows[:, 1 : history + 2]], axis=1)
    wanted = np.stack([np.ones_like(is_final), is_final], axis=1)
    fits = np.cumsum(wanted.sum(axis=1)) <= size
    wanted &= fits[:, None]
    count = int(wanted.sum())
    items = np.full(size, -1, np.int64)
    items[:count] = np.nonzero(wanted)[0]
    slots = np.full((size, history + 1), PADDING, np.int32)
    slots[:count] = windows[wanted]
    return items, slots
