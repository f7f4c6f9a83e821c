"""Replay on Reverb, for programs of several processes.

How Reverb's writer behaves at a table that takes no more items because of its rate limit:
`append` and `create_item` never wait, `flush` waits for its timeout and raises, and the
writer can be used on. Its `end_episode` waits too, so it is not called here: an item
only ever refers to rows of its own episode, and one stream of rows goes on for ever.
"""

import collections
import contextlib
import functools
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dm_env
import numpy as np
import reverb
import tensorflow as tf
import tree
from acme.adders.reverb import base
from dm_env import specs

from mukoe.replay.declaration import ReplayDeclaration, check_final_extras, zero_row
from mukoe.replay.handle import never
from mukoe.types import MaskedObservation, Nest, Row, Sample

# The writer may be ahead of the table by this many items.
_MAX_IN_FLIGHT_ITEMS = 16
# A table at its rate limit holds an adder up at each step, in slices of this length ...
_BACK_PRESSURE_MS = 500
# ... and no longer than this many of them.
_BACK_PRESSURE_SLICES = 120
_SIGNATURE_TIMEOUT_MS = 300_000
_RATE_LIMITER_TIMEOUT_MS = 500
_UPDATE_TIMEOUT_S = 10.0
# A server that is away is asked again after a while, and no longer than this.
_RETRY_S = 0.5
_GIVE_UP_S = 600.0


def fresh_table(declaration: ReplayDeclaration) -> str:
    """Name of the table of fresh items."""
    return f"{declaration.table}_fresh"


def make_tables(declaration: ReplayDeclaration, row_spec: Row) -> list[reverb.Table]:
    """Makes the tables that the declaration describes; their items are `Row`s `[T, ...]`.

    Fresh items have a table of their own, which gives the newest first and each one once.
    It never holds an adder up: with no room for more, the oldest leave.
    """
    if declaration.sampler == "prioritized":
        sampler = reverb.selectors.Prioritized(declaration.priority_exponent)
    else:
        sampler = reverb.selectors.Uniform()
    if declaration.samples_per_insert is None:
        rate_limiter = reverb.rate_limiters.MinSize(declaration.min_size)
    else:
        replayed = 1 - declaration.fresh_items / declaration.batch_size
        rate_limiter = reverb.rate_limiters.SampleToInsertRatio(
            replayed * declaration.samples_per_insert,
            declaration.min_size,
            declaration.error_buffer,
        )

    item_signature = _item_signature(declaration, row_spec)
    table = reverb.Table(
        name=declaration.table,
        sampler=sampler,
        remover=reverb.selectors.Fifo(),
        max_size=declaration.capacity,
        rate_limiter=rate_limiter,
        signature=item_signature,
    )
    if not declaration.fresh_items:
        return [table]
    fresh = reverb.Table(
        name=fresh_table(declaration),
        sampler=reverb.selectors.Lifo(),
        remover=reverb.selectors.Fifo(),
        max_size=declaration.fresh_capacity,
        max_times_sampled=1,
        rate_limiter=reverb.rate_limiters.MinSize(1),
        signature=item_signature,
    )
    return [table, fresh]


def _item_signature(declaration: ReplayDeclaration, row_spec: Row) -> Row:
    def signature(path: tuple, spec: specs.Array) -> tf.TensorSpec:
        name = "/".join(str(part) for part in path)
        rows = declaration.item_length
        if path[0] == "observation":
            rows = declaration.observed_rows or rows
        return tf.TensorSpec((rows, *spec.shape), spec.dtype, name)

    return tree.map_structure_with_path(signature, row_spec)


class ReverbAdder(base.ReverbAdder):
    """Writes the steps of one environment as `mukoe.replay.declaration` draws it.

    An item refers to rows that are stored once. Where the table is at its rate limit,
    `add` waits a bounded time, so its caller can notice that it should stop.
    """

    def __init__(
        self,
        client: reverb.Client,
        declaration: ReplayDeclaration,
        row_spec: Row,
        should_stop: Callable[[], bool] = never,
    ):
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
        self._rows: collections.deque[Row] = collections.deque(maxlen=declaration.sequence_length)
        # The step of the episode at which the next full `_rows` start.
        self._start = 0
        self._observation: Nest = None

    def add_first(self, timestep: dm_env.TimeStep) -> None:
        """Takes the first observation of an episode.

        Raises ValueError where it is not the first.
        """
        if not timestep.first():
            raise ValueError("add_first takes the first timestep of an episode")
        for _ in range(self._declaration.history):
            self._writer.append(self._padding)
        self._rows.clear()
        self._start = 0
        self._observation = timestep.observation
        self._add_first_called = True

    def add(
        self,
        action: np.ndarray,
        next_timestep: dm_env.TimeStep,
        extras: Mapping[str, np.ndarray] = types.MappingProxyType({}),
        final_extras: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Takes an action, what it led to, and the policy's extras where it was chosen.

        `final_extras` are the extras at the last observation of an episode.

        Raises ValueError before `add_first`, and for data that do not fit the spec.
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
        self._hold_back()

    def reset(self, timeout_ms: int | None = None) -> None:
        """Drops the rest of the running episode; its complete items stay."""
        del timeout_ms
        self._rows.clear()
        self._add_first_called = False

    def __del__(self) -> None:
        """Closes the writer at once; the base class would wait for a full table."""
        # The property would make one, which waits minutes for a server that has gone.
        if "_writer" in vars(self):
            with contextlib.suppress(Exception):
                self._writer.close()

    @functools.cached_property
    def _writer(self) -> reverb.TrajectoryWriter:
        """The writer; a chunk of a column has as many rows as an item has of it.

        Reverb's own choice, which follows how fast it writes, ends at chunks of one row where
        an actor is slow. An item is read six times faster from chunks of its own length.
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
        """Returns the row in the types of the spec, without extras that are not stored."""
        extras = {name: row.extras[name] for name in self._row_spec.extras}

        def conform(spec: specs.Array, value: object) -> np.ndarray:
            array = np.asarray(value, spec.dtype)
            if array.shape != spec.shape:
                raise ValueError(f"{spec.name} has shape {array.shape}, expected {spec.shape}")
            return array

        return tree.map_structure(conform, self._row_spec, row._replace(extras=extras))

    def _append(self, row: Row) -> None:
        self._writer.append(row)
        self._rows.append(row)
        self._write()

    def _write(self) -> None:
        """Writes the item that ends with the row appended just now, if one does."""
        if len(self._rows) < self._declaration.sequence_length:
            return
        due = self._start % self._declaration.period == 0
        self._start += 1
        if due and self._rows[0].mask:
            trajectory = self._trajectory()
            self._writer.create_item(self._declaration.table, self._priority(), trajectory)
            if self._declaration.fresh_items:
                self._writer.create_item(fresh_table(self._declaration), 1.0, trajectory)

    def _trajectory(self) -> Nest:
        """The newest rows, of observations those that are sampled; nothing else is sent."""
        start = -self._declaration.item_length
        observed = self._declaration.observed_rows or -start
        end = start + observed or None
        history = self._writer.history
        trajectory = tree.map_structure(lambda column: column[start:], history)
        observations = tree.map_structure(lambda column: column[start:end], history.observation)
        return trajectory._replace(observation=observations)

    def _write_last(self) -> None:
        """Pads until each step of the episode has started its item."""
        while any(row.mask for row in self._rows):
            self._append(self._padding)

    def _priority(self) -> float:
        if self._declaration.initial_priority is None:
            return 1.0
        rows = tree.map_structure(lambda *leaves: np.stack(leaves), *self._rows)
        return float(self._declaration.initial_priority(rows))

    def _hold_back(self) -> None:
        for _ in range(_BACK_PRESSURE_SLICES):
            if self._should_stop():
                return
            with contextlib.suppress(reverb.DeadlineExceededError):
                self._writer.flush(_MAX_IN_FLIGHT_ITEMS, timeout_ms=_BACK_PRESSURE_MS)
                return


class ReverbDataset(Iterator[Sample]):
    """An endless iterator of samples of NumPy arrays.

    It waits while the table allows no samples; `close` ends that within
    `_RATE_LIMITER_TIMEOUT_MS`. Reverb's dataset ends each time the table allows nothing
    for so long: what it gave until then stays for the next batch, or a table that allows
    samples one by one would never fill a batch.
    """

    def __init__(self, client: reverb.Client, table: str, batch_size: int):
        self._client = client
        self._table = table
        self._batch_size = batch_size
        self._closed = threading.Event()
        self._signature: Row | None = None
        self._parts: list[tuple] = []
        self._batches: Iterator[tuple] = iter(())
        self._away_since: float | None = None

    def __next__(self) -> Sample:
        missing = self._batch_size - sum(len(part[0]) for part in self._parts)
        while missing > 0:
            if self._closed.is_set():
                raise StopIteration
            part = self._next_part()
            if part is not None:
                self._parts.append(part)
                missing -= len(part[0])
        return self._take()

    def _next_part(self) -> tuple | None:
        """Returns None where the table, or a server that is away for a while, gives nothing."""
        try:
            part = next(self._batches, None)
            if part is None:
                self._batches = self._make_batches()
        except (tf.errors.OpError, RuntimeError, reverb.DeadlineExceededError):
            self._away_since = self._away_since or time.monotonic()
            if time.monotonic() - self._away_since > _GIVE_UP_S:
                raise
            self._batches = iter(())
            self._closed.wait(_RETRY_S)
            return None
        if part is not None:
            self._away_since = None
        return part

    def close(self) -> None:
        """Ends the iteration."""
        self._closed.set()

    def _take(self) -> Sample:
        """Makes a batch of the parts; what is left over stays."""
        size = self._batch_size
        batch = self._parts[0]
        if len(self._parts) > 1:
            batch = tuple(np.concatenate(leaves) for leaves in zip(*self._parts, strict=True))
        rest = tuple(leaf[size:] for leaf in batch)
        self._parts = [rest] if len(rest[0]) else []
        keys, probabilities, *leaves = (leaf[:size] for leaf in batch)
        rows = tree.unflatten_as(self._signature, leaves)
        return Sample(keys, probabilities.astype(np.float32), rows)

    def _make_batches(self) -> Iterator[tuple]:
        """Batches, the last of them a short one, until the table allows no sample for a while."""
        if self._signature is None:
            tables = self._client.server_info(_SIGNATURE_TIMEOUT_MS // 1000)
            self._signature = _with_own_types(tables[self._table].signature)
        leaves = tree.flatten(self._signature)
        dataset = reverb.TrajectoryDataset(
            server_address=self._client.server_address,
            table=self._table,
            dtypes=tuple(leaf.dtype for leaf in leaves),
            shapes=tuple(leaf.shape for leaf in leaves),
            max_in_flight_samples_per_worker=self._batch_size,
            num_workers_per_iterator=1,
            rate_limiter_timeout_ms=_RATE_LIMITER_TIMEOUT_MS,
        )
        options = tf.data.Options()
        options.threading.private_threadpool_size = 1
        batches = dataset.batch(self._batch_size).with_options(options).as_numpy_iterator()
        return ((item.info.key, item.info.probability, *item.data) for item in batches)


class MixedDataset(Iterator[Sample]):
    """Samples put together from replayed items and, behind them, fresh ones."""

    def __init__(self, replayed: ReverbDataset, fresh: ReverbDataset):
        self._parts = (replayed, fresh)

    def __next__(self) -> Sample:
        replayed, fresh = (next(part) for part in self._parts)
        return tree.map_structure(lambda *leaves: np.concatenate(leaves), replayed, fresh)

    def close(self) -> None:
        """Ends the iteration."""
        for part in self._parts:
            part.close()


def _with_own_types(structure: Any) -> Any:
    """Gives the named tuples of a server's signature, which are look-alikes, their types back."""
    own = {kind.__name__: kind for kind in (Row, MaskedObservation)}
    if isinstance(structure, Mapping):
        return {name: _with_own_types(value) for name, value in structure.items()}
    if isinstance(structure, tuple):
        values = [_with_own_types(value) for value in structure]
        if not hasattr(structure, "_fields"):
            return tuple(values)
        return own.get(type(structure).__name__, type(structure))(*values)
    return structure


class ReverbReplay:
    """Handle of the replay of a Reverb server, see `mukoe.replay.handle.Replay`."""

    def __init__(self, client: reverb.Client, declaration: ReplayDeclaration, row_spec: Row):
        """Builds the handle; nothing is sent before its first use.

        Args:
          client: client of the server.
          declaration: declaration of the replay.
          row_spec: specs of a row.
        """
        self._client = client
        self._declaration = declaration
        self._row_spec = row_spec

    def make_adder(self, should_stop: Callable[[], bool] = never) -> ReverbAdder:
        """Makes the adder of one environment.

        Args:
          should_stop: predicate that ends the adder's wait for a table at its rate limit.
        """
        return ReverbAdder(self._client, self._declaration, self._row_spec, should_stop)

    def make_dataset(self) -> ReverbDataset | MixedDataset:
        """Makes an endless iterator over samples, which connects at the first `next`."""
        declaration = self._declaration
        num_replayed = declaration.batch_size - declaration.fresh_items
        replayed = ReverbDataset(self._client, declaration.table, num_replayed)
        if not declaration.fresh_items:
            return replayed
        fresh = ReverbDataset(self._client, fresh_table(declaration), declaration.fresh_items)
        return MixedDataset(replayed, fresh)

    def update_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
        """Sets the priorities `[B]` of the items with these keys `[B]`; skips removed items.

        The update is dropped if the server does not answer in time: Reverb's own call would wait
        without a limit.
        """
        updates = dict(zip(keys.tolist(), priorities.tolist(), strict=True))

        def update() -> None:
            with contextlib.suppress(RuntimeError):  # Broken connection.
                self._client.mutate_priorities(self._declaration.table, updates)

        thread = threading.Thread(target=update, daemon=True)
        thread.start()
        thread.join(_UPDATE_TIMEOUT_S)
