"""Visits of observations: counts by hash, and the first visits within an episode."""

import jax
import jax.numpy as jnp
import numpy as np

from mukoe.networks.memory import episode_starts
from mukoe.types import Array, Nest

_NUM_COUNTS = 2**20


def no_counts() -> jax.Array:
    """Returns the counts `[N]` of no visit; hashes that are equal modulo `N` share one."""
    return jnp.zeros(_NUM_COUNTS, jnp.float32)


def count_visits(counts: Array, hashes: Array) -> tuple[jax.Array, jax.Array]:
    """Returns counts `[N]` with those of rollouts, and the counts `[B, T + 1]` of observations.

    The last observation of a rollout is the first one of the next, which adds it to the counts.

    Args:
      counts: `[N]` numbers of visits so far.
      hashes: `[B, T + 1]` hashes of observations.
    """
    index = hashes % counts.shape[0]
    counts = jnp.asarray(counts).at[index[:, :-1]].add(1.0)
    return counts, counts.at[index[:, -1]].add(1.0)[index]


def hashes_of(inputs: Nest) -> jax.Array:
    """Returns hashes `[B, T]` uint32 of inputs `[B, T, ...]`.

    A hash is the sum of the mixed bits of an input times odd numbers, modulo `2^32`. Without the
    mixing, floats of few significant bits, such as 0 and 1, would differ in their high bits alone.
    """
    batch, steps = jax.tree.leaves(inputs)[0].shape[:2]
    leaves = [_mixed(_bits(leaf)).reshape(batch, steps, -1) for leaf in jax.tree.leaves(inputs)]
    bits = jnp.concatenate(leaves, axis=-1)
    factors = np.random.default_rng(0).integers(2**32, size=bits.shape[-1], dtype=np.uint32) | 1
    return jnp.sum(bits * factors, axis=-1, dtype=jnp.uint32)


def first_visits(hashes: Array, mask: Array) -> jax.Array:
    """Returns where an observation is none of those before in its episode, `[B, T]` bool.

    Args:
      hashes: `[B, T]` hashes of the observations of consecutive rows.
      mask: `[B, T]` mask of the rows, 0 at the last one of an episode.
    """
    episode = jnp.cumsum(episode_starts(mask), axis=1)
    same = hashes[:, :, None] == hashes[:, None, :]
    same &= episode[:, :, None] == episode[:, None, :]
    return ~jnp.any(same & np.tri(hashes.shape[1], k=-1, dtype=bool), axis=-1)


def _bits(array: Array) -> jax.Array:
    """Returns integers by value, and the bits of other numbers, as uint32 of an equal shape."""
    array = jnp.asarray(array)
    if jnp.issubdtype(array.dtype, jnp.floating):
        return jax.lax.bitcast_convert_type(array.astype(jnp.float32), jnp.uint32)
    return array.astype(jnp.uint32)


def _mixed(bits: Array) -> jax.Array:
    """Returns uint32 whose every bit depends on all bits: the finaliser of MurmurHash3."""
    bits = (bits ^ (bits >> 16)) * np.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> 13)) * np.uint32(0xC2B2AE35)
    return bits ^ (bits >> 16)
