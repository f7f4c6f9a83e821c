"""Operations on nests of arrays."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from mukoe.types import Array, Nest


def zeros(spec: Nest, *leading: int) -> Nest:
    """Returns arrays of zeros `[*leading, ...]` with the shapes and dtypes of a nest of specs."""
    return jax.tree.map(lambda leaf: jnp.zeros((*leading, *leaf.shape), leaf.dtype), spec)


def take(nest: Nest, *index: Any) -> Nest:
    """Returns the part `[*index]` of every array of a nest."""
    return jax.tree.map(lambda array: array[index], nest)


def merge_batch_and_time(nest: Nest) -> Nest:
    """Returns arrays `[B T, ...]` of arrays `[B, T, ...]`."""
    return jax.tree.map(lambda array: jnp.reshape(array, (-1, *array.shape[2:])), nest)


def tree_where(condition: Array, on_true: Nest, on_false: Nest) -> Nest:
    """Selects each batch entry from one of two nests.

    Args:
      condition: `[B]` bool.
      on_true: nest of arrays `[B, ...]`, selected where `condition` is True.
      on_false: nest of the same structure, selected elsewhere.

    Returns:
      Nest of arrays `[B, ...]`.
    """

    def select(left: Array, right: Array) -> Array:
        return jnp.where(jnp.reshape(condition, (-1,) + (1,) * (left.ndim - 1)), left, right)

    return jax.tree.map(select, on_true, on_false)


def tree_select(condition: Array, on_true: Nest, on_false: Nest) -> Nest:
    """Selects one of two nests of the same structure by a condition `[]`."""
    return jax.tree.map(functools.partial(jnp.where, condition), on_true, on_false)
