import jax.numpy as jnp
import numpy as np

from tests.search.problems import KEY, bandit_model, jitted, jitted_tree


def test_without_simulations_the_prior_acts():
    logits = np.log([0.5, 0.3, 0.2])
    model = bandit_model(logits, [0.0, 0.0, 9.0])
    many = jnp.zeros(4000)
    trained = jitted(model, num_simulations=0)(None, KEY, many, None, 0)
    np.testing.assert_allclose(trained.search_policy[0], [0.5, 0.3, 0.2], rtol=1e-5)
    np.testing.assert_array_equal(trained.search_value, 0.25)
    frequencies = np.bincount(trained.action, minlength=3) / 4000
    np.testing.assert_allclose(frequencies, [0.5, 0.3, 0.2], atol=0.03)
    # Squared and normalised at temperature 1/2.
    cool = jitted(model, num_simulations=0, temperature_schedule=((0, 0.5),))
    frequencies = np.bincount(cool(None, KEY, many, None, 0).action, minlength=3) / 4000
    np.testing.assert_allclose(frequencies, np.array([25, 9, 4]) / 38, atol=0.03)
    evaluated = jitted(model, evaluation=True, num_simulations=0)(None, KEY, many, None, 0)
    np.testing.assert_array_equal(evaluated.action, 0)


def test_no_simulations_no_tree():
    model = bandit_model([0.0, 0.0], [0.0, 1.0])
    _, tree = jitted_tree(model, num_simulations=0)(None, KEY, jnp.zeros(2), None, 0)
    assert tree is None
