import jax
import jax.numpy as jnp
import mctx
import numpy as np

from tests.search.problems import (
    ALL_STATES,
    KEY,
    NUM_STATES,
    bandit_model,
    jitted,
    mdp_model,
)


def test_gumbel_value_is_that_of_its_policy():
    """By hand: two of three actions are visited once each, the third counts as the mix."""
    prior = np.array([0.5, 0.3, 0.2])
    model = bandit_model(np.log(prior), [0.4, -0.2, 9.0])
    search = jitted(
        model,
        evaluation=True,
        algorithm="gumbel",
        num_simulations=2,
        max_num_considered_actions=2,
    )
    output = search(None, KEY, jnp.zeros(1), None, 0)
    # Appendix D: (v + N sum_visited(pi q) / sum_visited(pi)) / (1 + N), v = 0.25, N = 2.
    mix = (0.25 + 2 * (0.5 * 0.4 + 0.3 * -0.2) / 0.8) / 3
    qvalues = np.array([0.4, -0.2, mix])
    # sigma(q) = (50 + 1 visit) * 0.1 * q, with q rescaled to [0, 1] (mctx).
    scores = prior * np.exp(5.1 * (qvalues + 0.2) / 0.6)
    policy = scores / scores.sum()
    np.testing.assert_allclose(output.search_policy[0], policy, rtol=1e-4)
    np.testing.assert_allclose(output.search_value[0], policy @ qvalues, rtol=1e-4)


def test_gumbel_is_that_of_mctx():
    model = mdp_model()
    legal = jnp.arange(3) != jnp.arange(NUM_STATES)[:, None] % 3
    search = jitted(model, algorithm="gumbel", num_simulations=12, max_num_considered_actions=2)
    output = search(None, KEY, ALL_STATES, legal, 0)
    expected = jax.jit(
        lambda: mctx.gumbel_muzero_policy(
            None,
            KEY,
            model.root(None, ALL_STATES),
            model.recurrent,
            num_simulations=12,
            invalid_actions=~legal,
            max_num_considered_actions=2,
        )
    )()
    np.testing.assert_array_equal(output.action, expected.action)
    np.testing.assert_allclose(output.search_policy, expected.action_weights, atol=1e-6)
