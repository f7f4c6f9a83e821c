"""Adder of the in-process replay."""

import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

import dm_env
import jax
import numpy as np

from mukoe.replay.declaration import ReplayDeclaration, check_final_extras
from mukoe.replay.in_process.row_pool import PADDING, RowPool
from mukoe.replay.sequences import ItemSlicer
from mukoe.types import Nest, Row


class ItemStore(Protocol):
    """Store of the items whose rows are in a pool."""

    def make_room(self) -> None:
        """Removes the oldest items until the pool has a free row."""

    def insert(self, slots: list[int]) -> int:
        """Adds the item with the rows in `slots`, `[T]`; returns its key."""

    def leave_with(self, key: int | None, slot: int) -> None:
        """Frees a row once item `key` is removed; at once if it has been removed or is None."""


class InProcessAdder:
    """Adder of the steps of one environment, with the method names of Acme's adders."""

    def __init__(
        self,
        items: ItemStore,
        declaration: ReplayDeclaration,
        row_spec: Row,
        lock: threading.RLock,
        pool: RowPool,
    ):
        """Builds the adder of one stream; see `InProcessReplay.make_adder`.

        Args:
          items: store of the items.
          declaration: declaration of the items.
          row_spec: specs of a row.
          lock: lock of the store and the pool.
          pool: storage of the rows.
        """
        self._items = items
        self._lock = lock
        self._pool = pool
        self._action_leaf = len(jax.tree.leaves(row_spec.observation))
        self._extras_leaf = self._action_leaf + 4
        self._extras_names = sorted(row_spec.extras)
        self._slicer: ItemSlicer[int] = ItemSlicer(declaration)
        # The row whose action is to come.
        self._open: int | None = None
        # The newest item of the running episode.
        self._newest: int | None = None

    def add_first(self, timestep: dm_env.TimeStep) -> None:
        """Begins an episode with its first observation.

        Raises:
          ValueError: if it is not the first, or if an episode is running.
        """
        if not timestep.first():
            raise ValueError("add_first takes the first timestep of an episode")
        if self._open is not None:
            raise ValueError("an episode is running: call reset to drop the rest of it")
        with self._lock:
            self._slicer.begin(PADDING)
            self._open = self._new_row(timestep.observation)

    def add(
        self,
        action: int | np.ndarray,
        next_timestep: dm_env.TimeStep,
        extras: Mapping[str, Nest],
        final_extras: Mapping[str, Nest] | None = None,
    ) -> None:
        """Adds an action and its result; ends the episode at the last timestep.

        Args:
          action: action `a_t`.
          next_timestep: timestep with the reward and discount of the action.
          extras: extras of the policy at `o_t`; those in `row_spec` are stored.
          final_extras: extras of the policy at the last observation. None, allowed if the
            episode terminated, stores zeros.

        Raises:
          ValueError: if no episode runs, a shape or a field is wrong, or a truncated
            episode comes without `final_extras`.
        """
        if self._open is None:
            raise ValueError("call add_first before add")
        last = next_timestep.last()
        if last:
            check_final_extras(final_extras, next_timestep.discount, self._extras_names)
        step = (action, next_timestep.reward, next_timestep.discount, 1.0)
        with self._lock:
            self._pool.write(self._open, self._action_leaf, step)
            self._write_extras(self._open, extras)
            self._push(self._open)
            self._open = self._new_row(next_timestep.observation)
            if last:
                self._finish(final_extras)

    def add_row(self, leaves: Sequence[np.ndarray], is_first: bool) -> None:
        """Adds a complete row, such as one of another process.

        Args:
          leaves: flat row, with mask 0 for the final row of an episode.
          is_first: True for the first row of an episode, which drops the rest of a running one.

        Raises:
          ValueError: a shape is wrong.
        """
        with self._lock:
            if is_first:
                self.reset()
                self._slicer.begin(PADDING)
            self._items.make_room()
            slot = self._pool.allocate()
            self._pool.write(slot, 0, leaves)
            self._push(slot)
            if leaves[self._action_leaf + 3] == 0:
                self._end_episode()

    def reset(self, timeout_ms: int | None = None) -> None:
        """Drops the rest of a running episode; its complete items stay."""
        del timeout_ms  # Nothing here waits.
        with self._lock:
            open_rows = [] if self._open is None else [self._open]
            for slot in self._slicer.rows + open_rows:
                self._items.leave_with(self._newest, slot)
            self._slicer.rows, self._open, self._newest = [], None, None

    def _finish(self, final_extras: Mapping[str, Nest] | None) -> None:
        assert self._open is not None
        self._pool.clear(self._open, self._action_leaf)
        if final_extras is not None:
            self._write_extras(self._open, final_extras)
        self._push(self._open)
        self._open = None
        self._end_episode()

    def _end_episode(self) -> None:
        for _ in range(self._slicer.padding_after):
            self._push(PADDING)
        self.reset()

    def _new_row(self, observation: Nest) -> int:
        self._items.make_room()
        slot = self._pool.allocate()
        self._pool.write(slot, 0, jax.tree.leaves(observation))
        return slot

    def _write_extras(self, slot: int, extras: Mapping[str, Nest]) -> None:
        values = jax.tree.leaves([extras[name] for name in self._extras_names])
        self._pool.write(slot, self._extras_leaf, values)

    def _push(self, slot: int) -> None:
        """Appends a complete row and adds the item that ends with it, if one does."""
        oldest = self._slicer.append(slot)
        if oldest is not None:
            self._items.leave_with(self._newest, oldest)
        if self._slicer.ends_item:
            self._newest = self._items.insert(self._slicer.rows)

    def state(self) -> np.ndarray:
        """Returns the state `[3 + rows]` int64.

        The newest item and the open row (-1 for none), the number of appended rows, and the
        slicer's rows.
        """
        numbers = (-1 if number is None else number for number in (self._newest, self._open))
        return np.asarray([*numbers, self._slicer.appended, *self._slicer.rows], np.int64)

    def set_state(self, state: np.ndarray | None) -> None:
        """Restores a `state`; None is no running episode."""
        numbers = [-1, -1, 0] if state is None else state.tolist()
        newest, open_row, self._slicer.appended, *self._slicer.rows = numbers
        self._newest = None if newest == -1 else newest
        self._open = None if open_row == -1 else open_row
