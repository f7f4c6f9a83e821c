"""Pools against loops in NumPy and JAX's own gradient."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.networks.pooling import average_pool, max_pool

SIZES = [(1, 1), (2, 3), (5, 4), (11, 12), (84, 21)]


def windows(image):
    """The pixels of each window of 3x3 that are within the image, by the window's place."""
    height, width = image.shape[:2]
    rows, columns = -(-height // 2), -(-width // 2)
    # With an even size all that is missing is behind the last row.
    above, left = height % 2, width % 2
    for row in range(rows):
        for column in range(columns):
            top, first = 2 * row - above, 2 * column - left
            part = image[max(top, 0) : top + 3, max(first, 0) : first + 3]
            yield (row, column), part.reshape(-1, image.shape[2])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("pool", "reduce"), [(max_pool, np.max), (average_pool, np.mean)])
def test_pools_windows_that_halve_the_image(pool, reduce, size):
    images = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    pooled = pool(jnp.asarray(images))
    assert pooled.shape == (2, -(-size[0] // 2), -(-size[1] // 2), 3)
    for image, result in zip(images, np.asarray(pooled), strict=True):
        for place, pixels in windows(image):
            np.testing.assert_allclose(result[place], reduce(pixels, axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_gradient_of_the_maximum_is_that_of_jax(size):
    key, weights_key = jax.random.split(jax.random.PRNGKey(0))
    # No two are equal.
    number = 2 * size[0] * size[1] * 3
    images = jax.random.permutation(key, jnp.arange(number, dtype=jnp.float32))
    images = images.reshape(2, *size, 3)
    weights = jax.random.normal(weights_key, max_pool(images).shape)

    def of_jax(x):
        return hk.max_pool(x, (3, 3, 1), (2, 2, 1), "SAME")

    gradients = [
        jax.grad(lambda x, f=f: jnp.sum(weights * f(x)))(images) for f in (max_pool, of_jax)
    ]
    np.testing.assert_allclose(*gradients, rtol=1e-5, atol=1e-6)
    assert np.count_nonzero(gradients[0])


def test_the_first_of_equal_maxima_gets_the_gradient():
    gradient = jax.grad(lambda x: max_pool(x).sum())(jnp.zeros((1, 4, 4, 1)))[0, :, :, 0]
    np.testing.assert_array_equal(gradient, [[1, 0, 1, 0], [0] * 4, [1, 0, 1, 0], [0] * 4])
