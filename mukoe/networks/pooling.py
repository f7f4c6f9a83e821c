"""Pools that halve images."""

import functools

import haiku as hk
import jax
import jax.numpy as jnp


def average_pool(x: jax.Array) -> jax.Array:
    """Averages windows of 3x3 with stride 2: `[..., H, W, C]` to `[..., ⌈H/2⌉, ⌈W/2⌉, C]`."""
    return hk.avg_pool(x, (3, 3, 1), (2, 2, 1), "SAME")


@jax.custom_vjp
def max_pool(x: jax.Array) -> jax.Array:
    """The maximum of windows of 3x3 with stride 2: `[..., H, W, C]` to `[..., ⌈H/2⌉, ⌈W/2⌉, C]`.

    The first of equal maxima gets the gradient. JAX's own gradient walks through the windows one
    by one, which takes four times as long on a CPU: a fifth of all the time in which the IMPALA
    network is differentiated.
    """
    return hk.max_pool(x, (3, 3, 1), (2, 2, 1), "SAME")


def _forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return max_pool(x), x


def _backward(x: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    # The maximum of a window is that of three columns, each the maximum of three rows.
    rows, columns = x.ndim - 3, x.ndim - 2
    maxima = functools.reduce(jnp.maximum, _taps(x, rows))
    return (_distribute(x, _distribute(maxima, gradient, columns), rows),)


max_pool.defvjp(_forward, _backward)


def _taps(x: jax.Array, axis: int) -> list[jax.Array]:
    """The first, second and third element of all windows of three along an axis."""
    size = x.shape[axis]
    num_windows = -(-size // 2)
    before = size % 2
    x = _pad(x, axis, before, 2 * num_windows + 1 - size - before, -jnp.inf)
    return [
        jax.lax.slice_in_dim(x, first, first + 2 * num_windows - 1, 2, axis) for first in range(3)
    ]


def _distribute(x: jax.Array, gradient: jax.Array, axis: int) -> jax.Array:
    """Gives the gradients of windows of three along an axis to the maximum of each."""
    first, second, third = _taps(x, axis)
    is_first = (first >= second) & (first >= third)
    is_second = ~is_first & (second >= third)
    # A window ends where the next one begins; its second element is in no other.
    ends = _pad(jnp.where(is_first, gradient, 0), axis, 0, 1)
    ends += _pad(jnp.where(is_first | is_second, 0, gradient), axis, 1, 0)
    middles = _pad(jnp.where(is_second, gradient, 0), axis, 0, 1)
    shape = [*x.shape[:axis], 2 * ends.shape[axis], *x.shape[axis + 1 :]]
    spread = jnp.stack([ends, middles], axis + 1).reshape(shape)
    before = x.shape[axis] % 2
    return jax.lax.slice_in_dim(spread, before, before + x.shape[axis], axis=axis)


def _pad(x: jax.Array, axis: int, before: int, after: int, value: float = 0.0) -> jax.Array:
    padding = [(0, 0, 0)] * x.ndim
    padding[axis] = (before, after, 0)
    return jax.lax.pad(x, jnp.array(value, x.dtype), padding)
