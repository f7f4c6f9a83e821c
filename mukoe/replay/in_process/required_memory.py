"""Sizes of the storage of an in-process replay."""

import jax
import numpy as np

from mukoe.replay.declaration import ReplayDeclaration
from mukoe.types import Row


def bytes_required(declaration: ReplayDeclaration, row_spec: Row, num_streams: int = 64) -> int:
    """Returns the bytes of a full `InProcessReplay`.

    Args:
      declaration: declaration of the stored items.
      row_spec: specs of a row.
      num_streams: largest number of adders.
    """
    leaves = jax.tree.leaves(row_spec)
    row = sum(int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize for spec in leaves)
    item = 4 * declaration.item_length + 4
    tree = 4 * 8 if declaration.sampler == "prioritized" else 0
    rows = pool_rows(declaration, num_streams)
    return rows * (row + 4) + declaration.capacity * (item + tree)


def pool_rows(declaration: ReplayDeclaration, num_streams: int) -> int:
    """Returns the capacity of the pool in rows.

    One row for each step, an eighth more for the final rows of episodes (those of 8 actions or
    more on average fit; with shorter ones the oldest items are removed a little before
    `capacity` is reached), the rows of the running episodes, and the padding row.
    """
    running = num_streams * (2 * declaration.item_length + 2)
    steps = declaration.capacity * declaration.period
    return 1 + steps + steps // 8 + running
