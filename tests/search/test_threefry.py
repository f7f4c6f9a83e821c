"""Unrolled keys give the numbers of jax's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.search.threefry import rolled, unrolled

RAW, TYPED = jax.random.PRNGKey(7), jax.random.key(8)


def numbers(key):
    """Draws by every function of a generator, and in a batch."""
    keys = jax.random.split(key, (3, 2))
    return {
        "split": jax.random.key_data(keys),
        "fold_in": jax.random.key_data(jax.random.fold_in(key, 3)),
        "bits": [jax.random.bits(key, (5, 3), f"uint{width}") for width in (8, 16, 32)],
        "scalar": jax.random.normal(key),
        "batch": jax.vmap(lambda key: jax.random.uniform(key, (4,)))(keys[:, 0]),
        "gamma": jax.random.loggamma(key, 0.3, (2, 3)),
        "drawn": jax.random.categorical(key, jnp.zeros((4, 5))),
    }


@pytest.mark.parametrize("key", [RAW, TYPED], ids=["raw", "typed"])
def test_numbers_are_those_of_jax(key):
    ours, expected = jax.jit(lambda: (numbers(unrolled(key)), numbers(key)))()
    # Numbers that are computed from the bits may be rounded otherwise.
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=0), ours, expected)


@pytest.mark.parametrize("key", [RAW, TYPED], ids=["raw", "typed"])
def test_a_rolled_key_is_the_one_of_before(key):
    same = rolled(unrolled(key), key)
    assert same.dtype == key.dtype and same.shape == key.shape
    np.testing.assert_array_equal(jax.random.key_data(same), jax.random.key_data(key))


def test_keys_of_other_generators_are_left_alone():
    key = jax.random.key(0, impl="rbg")
    assert unrolled(key) is key
    assert rolled(unrolled(key), key).dtype == key.dtype
    with jax.threefry_partitionable(False):
        assert unrolled(RAW) is RAW
