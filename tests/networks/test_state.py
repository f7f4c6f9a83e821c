import jax.numpy as jnp
import numpy as np

from mukoe.networks.state import scale_state


def test_scale_state_by_hand():
    state = jnp.array([[[[1.0, 3.0]], [[5.0, 2.0]]], [[[-1.0, 0.0]], [[0.0, 0.0]]]])
    expected = [[[[0.0, 0.5]], [[1.0, 0.25]]], [[[0.0, 1.0]], [[1.0, 1.0]]]]
    np.testing.assert_allclose(scale_state(state), expected)
    np.testing.assert_array_equal(scale_state(jnp.full((1, 3), 7.0)), 0.0)
