"""Statistics of a finished search, one number per batch entry."""

import jax
import jax.numpy as jnp
import mctx

from mukoe.types import Array, PerAction


def node_depths(parents: Array) -> Array:
    """Returns the depths `[B, N]` of a tree's nodes, 0 for the root and for unused nodes.

    Args:
      parents: `[B, N]` index of each node's parent, negative where there is none.
    """
    has_parent = parents >= 0
    ancestor = jnp.where(has_parent, parents, jnp.arange(parents.shape[1]))
    depth = has_parent.astype(jnp.int32)
    # Pointer jumping: the distance to the ancestor that is looked at doubles each time.
    for _ in range((parents.shape[1] - 1).bit_length()):
        depth = depth + jnp.take_along_axis(depth, ancestor, axis=1)
        ancestor = jnp.take_along_axis(ancestor, ancestor, axis=1)
    return depth


def tree_statistics(tree: mctx.Tree) -> dict[str, jax.Array]:
    """Returns the greatest and the mean depth of the expanded nodes, `[B]` float32."""
    depth = node_depths(tree.parents).astype(jnp.float32)
    expanded = jnp.sum(depth > 0, axis=-1)
    return {
        "search_depth_max": jnp.max(depth, axis=-1),
        "search_depth_mean": jnp.sum(depth, axis=-1) / jnp.maximum(expanded, 1),
    }


def policy_statistics(search_policy: PerAction, prior: PerAction) -> dict[str, jax.Array]:
    """Returns entropies in nats and KL(search policy || prior), `[B]`, of policies `[B, A]`."""
    return {
        "search_entropy": entropy(search_policy),
        "prior_entropy": entropy(prior),
        "search_prior_kl": jnp.sum(
            search_policy * (safe_log(search_policy) - safe_log(prior)), axis=-1
        ),
    }


def entropy(probs: PerAction) -> jax.Array:
    """Returns the entropy `[...]` in nats of distributions `[..., A]`."""
    return -jnp.sum(probs * safe_log(probs), axis=-1)


def safe_log(probs: PerAction) -> jax.Array:
    """Returns the logarithm, finite at 0."""
    return jnp.log(jnp.maximum(probs, jnp.finfo(probs.dtype).tiny))
