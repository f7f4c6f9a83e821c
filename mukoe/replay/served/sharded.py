"""Handle of a replay in several shards, each the replay of one server.

Environments are divided over the shards, and every sample has as many items of each. Keys of the
handle hold the shard in their highest bits:

    key  [ shard: 8 bits | key of the shard's replay: 56 bits ]
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from mukoe.errors import UserError
from mukoe.replay.declaration import ReplayDeclaration
from mukoe.replay.handle import never
from mukoe.replay.served.adder import ServedAdder
from mukoe.replay.served.client import ServedDataset, ServedReplay, ServedWriter
from mukoe.types import Sample

_KEY_BITS = np.uint64(56)


def shard_declaration(declaration: ReplayDeclaration, num_shards: int) -> ReplayDeclaration:
    """Returns the declaration of one of several shards with the same number of items.

    Args:
      declaration: declaration of the whole replay.
      num_shards: number of shards `N`.

    Raises:
      UserError: the items of a sample cannot be divided by the number of shards.
    """
    if num_shards == 1:
        return declaration
    _check_divides("num_replays", num_shards, declaration)
    return dataclasses.replace(
        declaration,
        batch_size=declaration.batch_size // num_shards,
        min_size=max(declaration.min_size // num_shards, 1),
        capacity=-(-declaration.capacity // num_shards),
    )


def divide_batches(declaration: ReplayDeclaration, num_learners: int) -> ReplayDeclaration:
    """Returns the declaration whose samples are the parts of a batch that learners read.

    Args:
      declaration: declaration with the whole batch.
      num_learners: number of learners, each with one part.

    Raises:
      UserError: the items of a sample cannot be divided by the number of learners.
    """
    _check_divides("num_learners", num_learners, declaration)
    return dataclasses.replace(declaration, batch_size=declaration.batch_size // num_learners)


def _check_divides(name: str, number: int, declaration: ReplayDeclaration) -> None:
    counts = (
        declaration.batch_size,
        declaration.online_items,
        declaration.reanalysed_items,
        declaration.demonstrated_items,
    )
    if any(count % number for count in counts):
        raise UserError(
            f"distributed.{name} {number} must divide the {counts[0]} items of a batch, "
            f"and of them the {counts[1]} online, {counts[2]} reanalysed and {counts[3]} "
            "demonstrated ones"
        )


class ShardedReplay:
    """Handle of several `ReplayServer`s, a `mukoe.replay.handle.SharedReplay`."""

    def __init__(self, shards: Sequence[ServedReplay], indices: Iterator[int]):
        """Takes the handles of the shards.

        Args:
          shards: handles of the shards.
          indices: numbers of the environments to come; environment `i` adds to shard `i % N`.
        """
        self._shards = shards
        self._indices = indices

    def make_adder(self, should_stop: Callable[[], bool] = never) -> ServedAdder:
        """Makes the adder of one environment, to the next shard.

        Args:
          should_stop: predicate that ends the adder's wait for a replay at its rate limit.
        """
        return self._next_shard().make_adder(should_stop)

    def make_dataset(self) -> "ShardedDataset":
        """Makes an endless iterator over samples with items of all shards."""
        return ShardedDataset([shard.make_dataset() for shard in self._shards])

    def make_reanalyser_dataset(self, batch_size: int) -> "ServedDataset":
        """Makes an endless iterator over samples of stored items of one shard."""
        self._reanalysed = self._next_shard()
        return self._reanalysed.make_reanalyser_dataset(batch_size)

    def make_reanalysed_writer(self, should_stop: Callable[[], bool] = never) -> ServedWriter:
        """Makes the writer of reanalysed samples to the shard of `make_reanalyser_dataset`.

        Args:
          should_stop: predicate that ends the wait for room.
        """
        return self._reanalysed.make_reanalysed_writer(should_stop)

    def update_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
        """Sets the priorities `[B]` of the items with these keys `[B]`; skips removed items."""
        shards = keys >> _KEY_BITS
        for index, shard in enumerate(self._shards):
            mine = shards == index
            if mine.any():
                own = keys[mine] & ((np.uint64(1) << _KEY_BITS) - np.uint64(1))
                shard.update_priorities(own, priorities[mine])

    def _next_shard(self) -> ServedReplay:
        return self._shards[next(self._indices) % len(self._shards)]


class ShardedDataset(Iterator[Sample]):
    """Endless iterator over samples, each with the items of all shards in their order.

    The probability of an item is that in its shard over the number of shards; one that is relative
    to a uniform draw, as with demonstrations, is that in its shard.
    """

    def __init__(self, parts: Sequence[ServedDataset]):
        """Takes a dataset of each shard."""
        self._parts = parts

    def __next__(self) -> Sample:
        samples = [next(part) for part in self._parts]
        relative = np.size(samples[0].demonstrated) > 0
        count = np.float32(1 if relative else len(samples))
        marked = [
            sample._replace(
                keys=sample.keys | (np.uint64(index) << _KEY_BITS),
                probabilities=sample.probabilities / count,
            )
            for index, sample in enumerate(samples)
        ]
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *marked)

    def close(self) -> None:
        """Ends the iteration."""
        for part in self._parts:
            part.close()
