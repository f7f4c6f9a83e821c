import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.agents.planning.masks import unroll_masks


@pytest.mark.parametrize("numpy", [np, jnp])
def test_unroll_masks(numpy):
    mask = numpy.asarray([[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    discounts = numpy.asarray([[1.0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]])
    masks = unroll_masks(discounts, mask)
    np.testing.assert_array_equal(masks.acted, mask)
    np.testing.assert_array_equal(
        masks.known - masks.acted, [[0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    )
    np.testing.assert_array_equal(
        masks.known, [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]
    )
