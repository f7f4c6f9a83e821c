"""Root parallelism: several searches of one position, whose policies are averaged.

Every search has noise at its root, as while training, so that they differ (Chaslot, Winands & van
den Herik 2008, "Parallel Monte-Carlo Tree Search", root parallelization).
"""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import mctx
from jax.sharding import Mesh, PartitionSpec

from mukoe.nests import take
from mukoe.search.base import SearchOutput
from mukoe.search.root import best_action
from mukoe.types import Array, Nest, PerAction

_AXIS = "trees"


def search_trees(
    search: Callable[..., tuple[SearchOutput, mctx.Tree]],
    num_trees: int,
    key: chex.PRNGKey,
    inputs: Nest,
    legal_actions: PerAction,
) -> tuple[SearchOutput, mctx.Tree]:
    """Searches several times, on as many of the devices as share the trees evenly.

    The keys of the trees are `split(key, num_trees)`, whatever the number of devices.

    Args:
      search: function `(key, inputs) -> (output, tree)`.
      num_trees: number of searches.
      key: random key.
      inputs: arrays of the search.
      legal_actions: `[B, A]` bool.

    Returns:
      The output with the mean policy, value and statistics, and its best action; and the first one
      of the trees.
    """

    def search_one(key: chex.PRNGKey, inputs: Nest) -> tuple[SearchOutput, mctx.Tree, Array, Array]:
        output, tree = search(key, inputs)
        summary = tree.summary()
        visits = jnp.asarray(summary.visit_counts, jnp.float32)
        return output, tree, visits, visits * summary.qvalues

    searched = _over_devices(jax.vmap(search_one, in_axes=(0, None)), num_trees)
    outputs, trees, visits, totals = searched(jax.random.split(key, num_trees), inputs)
    mean = jax.tree.map(lambda array: jnp.mean(array, axis=0), outputs._replace(action=()))
    qvalues = jnp.sum(totals, axis=0) / jnp.maximum(jnp.sum(visits, axis=0), 1.0)
    action = best_action(mean.search_policy, qvalues, legal_actions)
    return mean._replace(action=action), take(trees, 0)


def _over_devices(function: Callable[..., Any], num_trees: int) -> Callable[..., Any]:
    """Returns a function `(keys [R], inputs) -> outputs [R, ...]` that runs on several devices."""
    devices = jax.local_devices()
    count = max(n for n in range(1, len(devices) + 1) if num_trees % n == 0)
    if count == 1:
        return function
    mapped: Any = getattr(jax, "shard_map", None)
    # Its rules of replication lack while loops.
    unchecked = {"check_vma": False}
    if mapped is None:
        from jax.experimental.shard_map import shard_map as mapped

        unchecked = {"check_rep": False}
    shared, split = PartitionSpec(), PartitionSpec(_AXIS)
    mesh = Mesh(devices[:count], (_AXIS,))
    return mapped(function, mesh=mesh, in_specs=(split, shared), out_specs=split, **unchecked)
