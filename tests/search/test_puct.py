import jax
import jax.numpy as jnp
import mctx
import numpy as np

from tests.search.problems import ALL_STATES, KEY, bandit_model, jitted, mdp_model


def test_muzero_is_that_of_mctx():
    """Without noise at the root the search is mctx's own, visit for visit."""
    model = mdp_model()
    search = jitted(model, num_simulations=30, dirichlet_fraction=0.0, pb_c_init=1.5, max_depth=3)
    output = search(None, KEY, ALL_STATES, None, 0)
    search_key = jax.random.split(KEY, 3)[1]
    expected = jax.jit(
        lambda: mctx.muzero_policy(
            None,
            search_key,
            model.root(None, ALL_STATES),
            model.recurrent,
            num_simulations=30,
            max_depth=3,
            dirichlet_fraction=0.0,
            pb_c_init=1.5,
        )
    )()
    np.testing.assert_allclose(output.search_policy, expected.action_weights, atol=1e-6)
    np.testing.assert_allclose(output.search_value, expected.search_tree.summary().value, atol=1e-5)


def test_training_draws_from_the_visits_at_the_scheduled_temperature():
    settings = {"num_simulations": 8, "temperature_schedule": ((0, 1.0), (10, 0.0))}
    model = bandit_model(np.log([0.4, 0.35, 0.25]), [0.2, 0.1, 0.0])
    search = jitted(model, dirichlet_fraction=0.0, **settings)
    many = jnp.zeros(3000)
    warm = search(None, KEY, many, None, jnp.int32(9))
    visits = np.asarray(warm.search_policy[0])
    frequencies = np.bincount(warm.action, minlength=3) / 3000
    np.testing.assert_allclose(frequencies, visits, atol=0.04)
    assert np.count_nonzero(visits) > 1
    cold = search(None, KEY, many, None, jnp.int32(10))
    np.testing.assert_array_equal(cold.action, visits.argmax())


def test_evaluation_breaks_ties_of_visits_by_value():
    # Two simulations visit each action once; the second is the better one.
    model = bandit_model([0.0, 0.0], [0.1, 0.7])
    search = jitted(model, evaluation=True, num_simulations=2, pb_c_init=100.0)
    output = search(None, KEY, jnp.zeros(3), None, 0)
    np.testing.assert_allclose(output.search_policy, 0.5)
    np.testing.assert_array_equal(output.action, 1)


def test_depth_limit_shows_in_the_statistics():
    for depth in (1, 2):
        search = jitted(mdp_model(), num_simulations=30, max_depth=depth)
        statistics = search(None, KEY, ALL_STATES, None, 0).statistics
        np.testing.assert_array_equal(statistics["search_depth_max"], depth)
