"""Adder to a Reverb server.

At a table that blocks inserts because of its rate limit, `append` and `create_item` of Reverb's
writer never wait; `flush` waits for its timeout and raises, after which the writer is still
usable. `end_episode` waits too and is not called here: an item refers only to rows of its own
episode, so one endless stream of rows holds all episodes.
"""

import contextlib
import functools
import types
from collections.abc import Callable, Mapping

import dm_env
import numpy as np
import reverb
import tree
from acme.adders.reverb import base

from mukoe.replay.declaration import ReplayDeclaration, check_final_extras, conform, zero_row
from mukoe.replay.handle import never
from mukoe.replay.reverb.tables import online_table
from mukoe.replay.sequences import ItemSlicer
from mukoe.types import Nest, Row

# Largest number of items by which the writer is ahead of the table.
_MAX_IN_FLIGHT_ITEMS = 16
# At a table at its rate limit each step waits in slices of this length, so many at most.
_BACK_PRESSURE_MS = 500
_BACK_PRESSURE_SLICES = 120
_SIGNATURE_TIMEOUT_MS = 300_000


class ReverbAdder(base.ReverbAdder):
    """Adder of the steps of one environment, sliced as in `mukoe.replay.sequences`.

    An item refers to rows that are stored once. If the table is at its rate limit, `add` waits
    for a bounded time, so that its caller can react to a stop.
    """

    def __init__(
        self,
        client: reverb.Client,
        declaration: ReplayDeclaration,
        row_spec: Row,
        should_stop: Callable[[], bool] = never,
    ):
        """Builds the adder; the writer is made at the first step.

        Args:
          client: client of the server.
          declaration: declaration of the items.
          row_spec: specs of a row.
          should_stop: predicate that ends the wait for a table at its rate limit.
        """
        super().__init__(
            client,
            max_sequence_length=declaration.item_length,
            max_in_flight_items=_MAX_IN_FLIGHT_ITEMS,
            priority_fns={declaration.table: None},
            get_signature_timeout_ms=_SIGNATURE_TIMEOUT_MS,
        )
        self._should_stop = should_stop
        self._declaration = declaration
        self._row_spec = row_spec
        self._padding = zero_row(row_spec)
        self._slicer: ItemSlicer[Row] = ItemSlicer(declaration)
        self._observation: Nest = None

    def add_first(self, timestep: dm_env.TimeStep) -> None:
        """Begins an episode with its first observation.

        Raises:
          ValueError: if it is not the first.
        """
        if not timestep.first():
            raise ValueError("add_first takes the first timestep of an episode")
        for _ in range(self._slicer.padding_before):
            self._writer.append(self._padding)
        self._slicer.begin(self._padding)
        self._observation = timestep.observation
        self._add_first_called = True

    def add(
        self,
        action: np.ndarray,
        next_timestep: dm_env.TimeStep,
        extras: Mapping[str, Nest] = types.MappingProxyType({}),
        final_extras: Mapping[str, Nest] | None = None,
    ) -> None:
        """Adds an action and its result; ends the episode at the last timestep.

        Args:
          action: action `a_t`.
          next_timestep: timestep with the reward and discount of the action.
          extras: extras of the policy at `o_t`; those in `row_spec` are stored.
          final_extras: extras of the policy at the last observation of an episode.

        Raises:
          ValueError: before `add_first`, and for data that do not match the spec.
        """
        if not self._add_first_called:
            raise ValueError("add_first must be called before add")
        row = Row(
            observation=self._observation,
            action=action,
            reward=next_timestep.reward,
            discount=next_timestep.discount,
            mask=1.0,
            extras=extras,
        )
        self._append(self._conform(row))
        self._observation = next_timestep.observation
        if next_timestep.last():
            check_final_extras(final_extras, float(row.discount), self._row_spec.extras)
            final = self._padding._replace(
                observation=self._observation, extras=final_extras or self._padding.extras
            )
            self._append(self._conform(final))
            self._write_last()
            self._add_first_called = False
        self._wait_for_table()

    def reset(self, timeout_ms: int | None = None) -> None:
        """Drops the rest of the running episode; its complete items stay."""
        del timeout_ms
        self._add_first_called = False

    def flush(self) -> None:
        """Waits for the table to hold all items, for a bounded time."""
        wait_for_table(self._writer, 0, self._should_stop)

    def __del__(self) -> None:
        """Closes the writer at once; the base class would wait for a table at its limit."""
        # The property would make a writer, which waits minutes for a server that is gone.
        if "_writer" in vars(self):
            with contextlib.suppress(Exception):
                self._writer.close()

    @functools.cached_property
    def _writer(self) -> reverb.TrajectoryWriter:
        """Writer whose chunks of a column have as many rows as an item has of it.

        Reverb's own chunk length follows the write rate and reaches one row for a slow actor. An
        item is read six times faster from chunks of its own length.
        """
        writer = super()._writer
        for path, _ in tree.flatten_with_path(self._row_spec):
            rows = self._declaration.item_length
            if path[0] == "observation":
                rows = self._declaration.observed_rows or rows
            writer.configure(
                path, num_keep_alive_refs=self._max_sequence_length, max_chunk_length=rows
            )
        return writer

    def _conform(self, row: Row) -> Row:
        """Returns the row with the types of the spec, without extras that are not stored."""
        extras = {name: row.extras[name] for name in self._row_spec.extras}
        return tree.map_structure(conform, self._row_spec, row._replace(extras=extras))

    def _append(self, row: Row) -> None:
        self._writer.append(row)
        self._slicer.append(row)
        self._write()

    def _write(self) -> None:
        """Creates the item that ends with the last row, if one does."""
        if not self._slicer.ends_item:
            return
        item = self._item()
        self._writer.create_item(self._declaration.table, self._priority(), item)
        if self._declaration.online_items:
            self._writer.create_item(online_table(self._declaration), 1.0, item)

    def _item(self) -> Nest:
        """Returns references to the newest rows, of observations only to those that are sampled."""
        start = -self._declaration.item_length
        observed = self._declaration.observed_rows or -start
        end = start + observed or None
        history = self._writer.history
        item = tree.map_structure(lambda column: column[start:], history)
        observations = tree.map_structure(lambda column: column[start:end], history.observation)
        return item._replace(observation=observations)

    def _write_last(self) -> None:
        """Pads until every step of the episode has started its item."""
        for _ in range(self._slicer.padding_after):
            self._append(self._padding)

    def _priority(self) -> float:
        initial = self._declaration.initial_priority
        if initial is None:
            return 1.0
        assert callable(initial)  # `make_tables` refuses the others.
        rows = tree.map_structure(
            lambda *leaves: np.stack(leaves), *self._slicer.rows[self._declaration.history :]
        )
        return float(initial(rows))

    def _wait_for_table(self) -> None:
        """Waits for a table at its rate limit, for a bounded time."""
        wait_for_table(self._writer, _MAX_IN_FLIGHT_ITEMS, self._should_stop)


def wait_for_table(
    writer: reverb.TrajectoryWriter, in_flight: int, should_stop: Callable[[], bool]
) -> None:
    """Waits for a table at its rate limit, for a bounded time.

    Args:
      writer: writer to the table.
      in_flight: number of items that the table need not have taken.
      should_stop: predicate that ends the wait.
    """
    for _ in range(_BACK_PRESSURE_SLICES):
        if should_stop():
            return
        with contextlib.suppress(reverb.DeadlineExceededError):
            writer.flush(in_flight, timeout_ms=_BACK_PRESSURE_MS)
            return
