"""Arrays of a learner whose devices belong to several processes, one of each host."""

from collections.abc import Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding

from mukoe.types import Nest


def in_process_order(devices: Sequence[jax.Device]) -> list[jax.Device]:
    """Sorts devices so that those of a process are neighbours; keeps their order otherwise."""
    return sorted(devices, key=lambda device: device.process_index)


def replicate(tree: Nest, sharding: NamedSharding) -> Nest:
    """Places a tree, equal in all processes, on every device of a replicated sharding."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def place(leaf: np.ndarray) -> jax.Array:
        return jax.make_array_from_callback(leaf.shape, sharding, lambda index: leaf[index])

    return jax.tree.map(lambda leaf: place(np.asarray(leaf)), tree)


def shard_rows(tree: Nest, sharding: NamedSharding) -> Nest:
    """Places the rows of this process; those of all processes make the arrays, in their order."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), tree
    )


def rows_of_this_process(array: jax.Array, sharding: NamedSharding) -> np.ndarray:
    """Returns the rows of a replicated array `[B, ...]` that `shard_rows` takes from this process.

    Args:
      array: array on all devices.
      sharding: sharding of the rows.
    """
    owners = [device.process_index for device in sharding.mesh.devices.flat]
    is_own = np.array(owners) == jax.process_index()
    rows = np.asarray(array)
    return rows[np.repeat(is_own, len(rows) // len(owners))]


def fetch_rows(array: jax.Array) -> np.ndarray:
    """Returns the rows of `shard_rows` of this process."""
    shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start or 0)
    return np.concatenate([np.asarray(shard.data) for shard in shards])


def broadcast(tree: Nest) -> Nest:
    """Returns the NumPy arrays that the first process has; all processes call it."""
    return multihost_utils.broadcast_one_to_all(tree)
