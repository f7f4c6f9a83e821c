"""Rows in preallocated arrays, each in any free slot."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mukoe.errors import UserError
from mukoe.types import Nest, Row

PADDING = 0
"""The slot of the padding row: zeros, never freed."""


class RowPool:
    """Pool of `num_rows` rows with the specs in `row_spec`, the padding row included."""

    def __init__(self, row_spec: Row, num_rows: int):
        leaves, self._treedef = jax.tree.flatten(row_spec)
        self._num_observations = len(jax.tree.leaves(row_spec.observation))
        self._names = [spec.name or f"leaf {i}" for i, spec in enumerate(leaves)]
        self._shapes = [tuple(spec.shape) for spec in leaves]
        # The operating system provides the memory as rows are written.
        self._leaves = [np.zeros((num_rows, *spec.shape), spec.dtype) for spec in leaves]
        self.num_rows = num_rows
        self._free: list[int] = []
        self._fresh = PADDING + 1  # No slot from here on has been used.

    @property
    def num_written(self) -> int:
        """Number of slots that were ever allocated, the padding row included."""
        return self._fresh

    @property
    def full(self) -> bool:
        """Returns whether `allocate` would fail."""
        return not self._free and self._fresh == self.num_rows

    def allocate(self) -> int:
        """Returns a free slot.

        Raises:
          IndexError: if the pool is full.
        """
        if self._free:
            slot = self._free.pop()
        elif self._fresh < self.num_rows:
            slot = self._fresh
            self._fresh += 1
        else:
            raise IndexError(f"all {self.num_rows} rows of the pool are in use")
        return slot

    def free(self, slot: int) -> None:
        """Frees a slot."""
        self._free.append(slot)

    def write(self, slot: int, first_leaf: int, values: Sequence[Any]) -> None:
        """Writes the leaves `first_leaf, first_leaf + 1, ...` of a row.

        Raises:
          ValueError: if the shape of a value differs from its spec.
        """
        for leaf, value in enumerate(values, first_leaf):
            shape = getattr(value, "shape", ())  # Plain numbers have none.
            if shape != self._shapes[leaf]:
                raise ValueError(
                    f"replay: {self._names[leaf]} has shape {shape}, expected {self._shapes[leaf]}"
                )
            self._leaves[leaf][slot] = value

    def clear(self, slot: int, first_leaf: int) -> None:
        """Writes zeros to the leaves from `first_leaf` on."""
        for leaf in self._leaves[first_leaf:]:
            leaf[slot] = 0

    def gather(self, slots: np.ndarray, observed: int | None = None) -> Row:
        """Returns copies of the rows in `slots`: a `Row` of `[*slots.shape, ...]`.

        With `observed`, observations are those of the first `observed` slots of the last axis.
        """
        parts = [slots[..., :observed]] * self._num_observations
        parts += [slots] * (len(self._leaves) - len(parts))
        rows = [leaf[part] for leaf, part in zip(self._leaves, parts, strict=True)]
        return jax.tree.unflatten(self._treedef, rows)

    def is_final(self, slots: np.ndarray) -> np.ndarray:
        """Returns whether rows are final observations of episodes, with the shape of `slots`."""
        mask = jax.tree.unflatten(self._treedef, self._leaves).mask
        return (slots != PADDING) & (mask[slots] == 0)

    def write_extras(self, slots: np.ndarray, extras: Mapping[str, Nest]) -> None:
        """Writes extras `[N, ...]` of the rows in `slots` `[N]`; all else stays.

        Raises:
          ValueError: if the shape of a value differs from its spec.
        """
        stored = jax.tree.unflatten(self._treedef, self._leaves).extras

        def write(leaf: np.ndarray, values: np.ndarray) -> None:
            if np.shape(values) != (len(slots), *leaf.shape[1:]):
                raise ValueError(
                    f"replay: extras of shape {np.shape(values)}, expected "
                    f"{(len(slots), *leaf.shape[1:])}"
                )
            leaf[slots] = values

        jax.tree.map(write, {name: stored[name] for name in extras}, dict(extras))

    def state_dict(self) -> dict[str, np.ndarray]:
        """Returns copies of all allocated rows and of the list of free slots."""
        state = {f"rows_{i}": leaf[: self._fresh].copy() for i, leaf in enumerate(self._leaves)}
        state["free"] = np.asarray(self._free, np.int64)
        return state

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Restores a `state_dict`.

        Raises:
          UserError: if it was saved from rows of other specs or from a larger pool.
        """
        fresh = len(state["rows_0"])
        for i, leaf in enumerate(self._leaves):
            saved = state.get(f"rows_{i}")
            expected = (fresh, *leaf.shape[1:])
            if saved is None or saved.shape != expected or saved.dtype != leaf.dtype:
                raise UserError(
                    f"replay: the saved state does not fit: {self._names[i]} should be "
                    f"{leaf.dtype}{list(leaf.shape[1:])}; use the configuration it was saved with"
                )
        if fresh > self.num_rows:
            raise UserError(
                f"replay: the saved state has {fresh} rows and this replay has room for "
                f"{self.num_rows}; use the configuration it was saved with"
            )
        for i, leaf in enumerate(self._leaves):
            leaf[:fresh] = state[f"rows_{i}"]
        self._free = np.asarray(state["free"]).tolist()
        self._fresh = fresh
