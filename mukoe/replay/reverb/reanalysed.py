"""Writer and reader of the table of reanalysed items."""

import contextlib
from collections.abc import Callable, Iterator

import jax
import numpy as np
import reverb
import tree

from mukoe.replay.declaration import ReplayDeclaration
from mukoe.replay.reverb.adder import wait_for_table
from mukoe.replay.reverb.dataset import ReverbDataset
from mukoe.replay.reverb.tables import reanalysed_table
from mukoe.types import Sample

_SIGNATURE_TIMEOUT_MS = 300_000


class ReanalysedWriter:
    """Writer of reanalysed samples, each item of which is one step of the stream."""

    def __init__(
        self,
        client: reverb.Client,
        declaration: ReplayDeclaration,
        should_stop: Callable[[], bool],
    ):
        """Builds the writer.

        Args:
          client: client of the server.
          declaration: declaration of the replay.
          should_stop: predicate that ends the wait for room in the table.
        """
        self._table = reanalysed_table(declaration)
        self._should_stop = should_stop
        self._writer = client.trajectory_writer(
            num_keep_alive_refs=1, get_signature_timeout_ms=_SIGNATURE_TIMEOUT_MS
        )

    def write(self, sample: Sample) -> None:
        """Writes the items of a sample, with their keys and probabilities; waits for room."""
        rows, shape = sample.rows, sample.rows.mask.shape
        keys = np.asarray(sample.keys, np.uint64).view(np.int64)
        extras = {
            **rows.extras,
            "item_key": np.broadcast_to(keys[:, None], shape),
            "item_probability": np.broadcast_to(sample.probabilities[:, None], shape),
        }
        rows = rows._replace(extras=jax.tree.map(np.asarray, extras))
        for index in range(shape[0]):
            self._writer.append(jax.tree.map(lambda array, index=index: array[index], rows))
            item = tree.map_structure(lambda column: column[-1], self._writer.history)
            self._writer.create_item(self._table, 1.0, item)
        wait_for_table(self._writer, 0, self._should_stop)

    def close(self) -> None:
        """Closes the connection, without a wait for items on their way."""
        with contextlib.suppress(Exception):
            self._writer.close()


class ReanalysedDataset(Iterator[Sample]):
    """Endless iterator over reanalysed items, with the keys and probabilities of their originals.

    Probabilities are those with which the reanalyser sampled.
    """

    def __init__(self, dataset: ReverbDataset):
        """Takes the dataset of the table."""
        self._dataset = dataset

    def __next__(self) -> Sample:
        rows = next(self._dataset).rows
        extras = dict(rows.extras)
        keys = extras.pop("item_key")[:, 0].view(np.uint64)
        probabilities = extras.pop("item_probability")[:, 0]
        return Sample(keys, probabilities, rows._replace(extras=extras))

    def close(self) -> None:
        """Ends the iteration."""
        self._dataset.close()
