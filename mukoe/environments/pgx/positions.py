"""True states of games as bytes, which travel beside the observation to a search of the rules."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mukoe.types import Array


def pack_position(position: Any) -> jax.Array:
    """Returns positions as bytes `[B, S]` uint8, without the observation, which follows from them.

    Args:
      position: batched state `[B, ...]` of a game, such as a `pgx.State`.
    """
    leaves = jax.tree.leaves(position.replace(observation=()))
    return jnp.concatenate([_to_bytes(jnp.asarray(leaf)) for leaf in leaves], axis=-1)


def position_bytes(like: Any) -> int:
    """Returns the number of bytes `S` of a position with the shapes of one game."""
    return sum(_num_bytes(leaf) for leaf in jax.tree.leaves(like.replace(observation=())))


def make_unpack(like: Any) -> Callable[[Array], Any]:
    """Returns the inverse of `pack_position`; its positions have observations of zeros.

    Args:
      like: state of one game, as arrays or as shapes and types.
    """
    leaves, structure = jax.tree.flatten(like.replace(observation=()))

    def unpack(packed: Array) -> Any:
        parts, start = [], 0
        for leaf in leaves:
            end = start + _num_bytes(leaf)
            parts.append(_from_bytes(packed[:, start:end], leaf.shape, leaf.dtype))
            start = end
        observation = jnp.zeros((packed.shape[0], *like.observation.shape), like.observation.dtype)
        return structure.unflatten(parts).replace(observation=observation)

    return unpack


def _num_bytes(leaf: Any) -> int:
    return math.prod(leaf.shape) * jnp.dtype(leaf.dtype).itemsize


def _to_bytes(leaf: jax.Array) -> jax.Array:
    batch_size = leaf.shape[0]
    if leaf.dtype == jnp.bool_:
        leaf = leaf.astype(jnp.uint8)
    return jax.lax.bitcast_convert_type(leaf, jnp.uint8).reshape(batch_size, -1)


def _from_bytes(packed: Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    if jnp.dtype(dtype) == jnp.bool_:
        return packed.reshape(-1, *shape) != 0
    size = jnp.dtype(dtype).itemsize
    grouped = packed.reshape(-1, *shape, *([size] if size > 1 else []))
    return jax.lax.bitcast_convert_type(grouped, dtype)
