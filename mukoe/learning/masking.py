"""Reductions over the entries of a batch that count."""

import chex
import jax
import jax.numpy as jnp

from mukoe.types import Array


def masked_mean(values: Array, mask: Array) -> jax.Array:
    """Returns the mean `[]` of the values with mask 1; 0 if there are none.

    Args:
      values: values `[...]`.
      mask: mask of the same shape, 1 for entries that count and 0 for others.
    """
    chex.assert_equal_shape([values, mask])
    return jnp.sum(mask * values) / jnp.maximum(jnp.sum(mask), 1.0)
