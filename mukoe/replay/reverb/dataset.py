"""Samples of a Reverb server for a learner."""

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import reverb
import tensorflow as tf
import tree

from mukoe.replay.demonstrations import labelled
from mukoe.replay.handle import ClosableDataset
from mukoe.types import MaskedObservation, Row, Sample

_SIGNATURE_TIMEOUT_S = 300
_RATE_LIMITER_TIMEOUT_MS = 500
# Period and time limit of the retries while the server is unavailable.
_RETRY_S = 0.5
_GIVE_UP_S = 600.0


class ReverbDataset(Iterator[Sample]):
    """Endless iterator over samples of NumPy arrays.

    `next` waits while the table allows no samples; `close` ends the wait within
    `_RATE_LIMITER_TIMEOUT_MS`. Reverb's dataset ends each time the table allows no sample for
    that long. Its samples so far are kept for the next batch: otherwise a table that allows
    samples one by one would never fill a batch.
    """

    def __init__(self, client: reverb.Client, table: str, batch_size: int, relative: bool = False):
        """Builds the iterator, which connects at the first `next`.

        Args:
          client: client of the server.
          table: name of the table.
          batch_size: number of items in a sample.
          relative: True for probabilities over that of a uniform draw from the table.
        """
        self._client = client
        self._table = table
        self._batch_size = batch_size
        self._relative = relative
        self._closed = threading.Event()
        self._signature: Row | None = None
        self._parts: list[tuple] = []
        self._batches: Iterator[tuple] = iter(())
        self._unavailable_since: float | None = None

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
        """Returns the next items, or None if the table allows none or the server is unavailable."""
        try:
            part = next(self._batches, None)
            if part is None:
                self._batches = self._make_batches()
        except (tf.errors.OpError, RuntimeError, reverb.DeadlineExceededError):
            self._unavailable_since = self._unavailable_since or time.monotonic()
            if time.monotonic() - self._unavailable_since > _GIVE_UP_S:
                raise
            self._batches = iter(())
            self._closed.wait(_RETRY_S)
            return None
        if part is not None:
            self._unavailable_since = None
        return part

    def close(self) -> None:
        """Ends the iteration."""
        self._closed.set()

    def _take(self) -> Sample:
        """Makes a batch of the parts and keeps the remaining items."""
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
        """Returns batches, the last one short, until the table times out."""
        if self._signature is None:
            tables = self._client.server_info(_SIGNATURE_TIMEOUT_S)
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
        return ((item.info.key, self._probabilities(item.info), *item.data) for item in batches)

    def _probabilities(self, info: reverb.SampleInfo) -> np.ndarray:
        return info.probability * info.table_size if self._relative else info.probability


class LabelledDataset(Iterator[Sample]):
    """Samples with their mask of demonstrations."""

    def __init__(self, dataset: ClosableDataset, demonstrated: bool):
        """Takes a dataset whose items are all demonstrations, or none."""
        self._dataset = dataset
        self._demonstrated = demonstrated

    def __next__(self) -> Sample:
        return labelled(next(self._dataset), self._demonstrated)

    def close(self) -> None:
        """Ends the iteration."""
        self._dataset.close()


class MixedDataset(Iterator[Sample]):
    """Endless iterator over samples whose items come from several tables, one after the other."""

    def __init__(self, *parts: ClosableDataset):
        self._parts = parts

    def __next__(self) -> Sample:
        samples = [next(part) for part in self._parts]
        return tree.map_structure(lambda *leaves: np.concatenate(leaves), *samples)

    def close(self) -> None:
        """Ends the iteration."""
        for part in self._parts:
            part.close()


def _with_own_types(structure: Any) -> Any:
    """Restores the named tuples of a server's signature, which are copies of the types, to ours."""
    own = {kind.__name__: kind for kind in (Row, MaskedObservation)}
    if isinstance(structure, Mapping):
        return {name: _with_own_types(value) for name, value in structure.items()}
    if isinstance(structure, tuple):
        values = [_with_own_types(value) for value in structure]
        if not hasattr(structure, "_fields"):
            return tuple(values)
        return own.get(type(structure).__name__, type(structure))(*values)
    return structure
