import jax
import jax.numpy as jnp
import numpy as np

from mukoe.search.root import add_dirichlet_noise, complete_mask, mask_logits

KEY = jax.random.PRNGKey(0)


def test_noise_has_its_share_of_the_legal_actions_alone():
    legal = jnp.broadcast_to(jnp.array([True, False, True, False, False, True]), (20_000, 6))
    probs = jnp.broadcast_to(jnp.array([0.5, 0.0, 0.3, 0.0, 0.0, 0.2]), (20_000, 6))
    noisy = np.asarray(add_dirichlet_noise(KEY, probs, legal, alpha=0.3, fraction=0.25))
    np.testing.assert_array_equal(noisy[:, [1, 3, 4]], 0.0)
    np.testing.assert_allclose(noisy.sum(axis=-1), 1.0, rtol=1e-5)
    noise = (noisy - 0.75 * np.asarray(probs))[:, [0, 2, 5]] / 0.25
    # A symmetric Dirichlet over n actions: mean 1/n, variance (n - 1) / (n^2 (n alpha + 1)).
    np.testing.assert_allclose(noise.mean(axis=0), 1 / 3, atol=0.01)
    np.testing.assert_allclose(noise.var(axis=0), 2 / (9 * 1.9), atol=0.005)


def test_no_share_is_no_noise():
    probs = jnp.array([[0.2, 0.8]])
    same = add_dirichlet_noise(KEY, probs, jnp.ones((1, 2), bool), alpha=0.3, fraction=0.0)
    np.testing.assert_array_equal(same, probs)


def test_masked_logits_have_probability_zero():
    logits = jnp.array([[50.0, -3.0, 1.0]])
    probs = jax.nn.softmax(mask_logits(logits, jnp.array([[False, True, True]])))
    np.testing.assert_allclose(probs, [[0.0, np.exp(-4) / (1 + np.exp(-4)), 1 / (1 + np.exp(-4))]])
    assert probs[0, 0] == 0.0


def test_complete_mask():
    logits = jnp.zeros((2, 3))
    mask = np.array([[0, 1, 0], [0, 0, 0]], np.int8)
    np.testing.assert_array_equal(complete_mask(jnp.asarray(mask), logits), [[0, 1, 0], [1, 1, 1]])
    np.testing.assert_array_equal(complete_mask(None, logits), np.ones((2, 3)))
