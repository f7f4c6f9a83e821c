"""Random numbers of jax's Threefry generator, compiled without a loop over its rounds.

On the CPU, jax compiles the rounds as a loop, so that a draw of a few numbers costs about a hundred
operations. A search draws a few numbers for each step of each simulation: these draws took a third
of the time of its tree.
"""

import math
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.extend import random as extended_random

from mukoe.types import Array

# Threefry-2x32 with 20 rounds (Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405).
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def unrolled(key: chex.PRNGKey) -> chex.PRNGKey:
    """Returns a typed key that gives the same numbers and the same keys as `key`.

    A key of another generator than jax's default (Threefry with partitionable counts) is returned
    unchanged.

    Args:
      key: key or batch of keys, typed or as uint32.
    """
    is_threefry = str(jax.random.key_impl(key)) == "threefry2x32"
    is_partitionable = jax.config.jax_threefry_partitionable  # type: ignore[attr-defined]
    if not (is_threefry and is_partitionable):
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=_UNROLLED)


def rolled(key: chex.PRNGKey, original: chex.PRNGKey) -> chex.PRNGKey:
    """Returns an unrolled key as one of the generator of `original`, typed if `original` is."""
    data = jax.random.key_data(key)
    if not jnp.issubdtype(original.dtype, jax.dtypes.prng_key):
        return data
    impl: Any = jax.random.key_impl(original)
    return jax.random.wrap_key_data(data, impl=impl)


def _hash(key: Array, high: Array, low: Array) -> tuple[Array, Array]:
    """Returns two words for each counter of the words `high` and `low`, given a key `[2]`."""
    keys = key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(_PARITY)
    x, y = high + keys[0], low + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x = x + y
            y = x ^ ((y << rotation) | (y >> (32 - rotation)))
        x = x + keys[(group + 1) % 3]
        y = y + keys[(group + 2) % 3] + jnp.uint32(group + 1)
    return x, y


def _hash_counts(key: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Returns two words for each entry of `shape`, which has less than `2**32`."""
    low = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return _hash(key, jnp.zeros_like(low), low)


def _split(key: Array, shape: tuple[int, ...]) -> jax.Array:
    return jnp.stack(_hash_counts(key, shape), axis=-1)


def _random_bits(key: Array, bit_width: int, shape: tuple[int, ...]) -> jax.Array:
    high, low = _hash_counts(key, shape)
    if bit_width == 64:
        return high.astype(jnp.uint64) << 32 | low.astype(jnp.uint64)
    return jnp.asarray(high ^ low).astype(f"uint{bit_width}")


def _fold_in(key: Array, data: Array) -> jax.Array:
    return jnp.stack(_hash(key, jnp.uint32(0), jnp.asarray(data).astype(jnp.uint32)))


def _seed(seed: Array) -> jax.Array:
    return jax.random.key_data(jax.random.key(seed, impl="threefry2x32"))


_UNROLLED: Any = extended_random.define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="unrolled_threefry2x32",
    tag="ufry",
)
