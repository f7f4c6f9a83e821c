import dataclasses

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from mukoe.errors import UserError
from mukoe.search import SearchConfig, SearchModel, make_search
from tests.search.problems import (
    HORIZON,
    NUM_STATES,
    bandit_model,
    keys,
    mdp_model,
    nim_legal,
    nim_model,
    solve_mdp,
    solve_nim,
)

ALGORITHMS = ("muzero", "gumbel")
KEY = jax.random.PRNGKey(3)
ALL_STATES = jnp.stack([jnp.arange(NUM_STATES), jnp.full(NUM_STATES, HORIZON)], axis=-1)  # [S, 2]


def jitted(model, evaluation=False, **settings):
    return jax.jit(make_search(SearchConfig(**settings), model, evaluation))


@pytest.mark.parametrize(
    "algorithm, informed, simulations, tolerance",
    [
        # Blind: everything is found by planning to the end.
        ("muzero", False, 400, 0.2),
        # Below the root Gumbel MuZero is greedy from the first visit on, and relies on values.
        ("gumbel", True, 200, 0.12),
    ],
)
def test_solves_an_mdp_with_the_true_model(algorithm, informed, simulations, tolerance):
    values, qvalues = solve_mdp()
    # The problem tells good play from bad.
    assert np.all(np.diff(np.sort(qvalues[HORIZON], axis=-1)[:, -2:]) > 0.3)
    search = jitted(
        mdp_model(values if informed else None),
        evaluation=True,
        algorithm=algorithm,
        num_simulations=simulations,
    )
    output = search(None, KEY, ALL_STATES, None, 0)
    np.testing.assert_array_equal(output.action, qvalues[HORIZON].argmax(axis=-1))
    np.testing.assert_array_equal(output.search_policy.argmax(axis=-1), output.action)
    # Paths that explore pull the value below the maximum.
    assert np.all(np.asarray(output.search_value) <= values[HORIZON] + 1e-4)
    np.testing.assert_allclose(output.search_value, values[HORIZON], atol=tolerance)


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


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_solves_nim_where_the_turn_passes(algorithm):
    value, moves = solve_nim(9)
    piles = jnp.arange(1, 10)
    search = jitted(nim_model(), evaluation=True, algorithm=algorithm, num_simulations=300)
    output = search(None, KEY, piles, nim_legal(piles), 0)
    for pile, action, found in zip(piles, output.action, output.search_value, strict=True):
        pile = int(pile)
        assert np.sign(found) == value[pile]
        if value[pile] == 1:
            assert int(action) + 1 in moves[pile]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("num_simulations", [0, 1, 20])
@pytest.mark.parametrize("evaluation", [False, True])
def test_masked_actions_have_no_weight_and_are_never_taken(algorithm, num_simulations, evaluation):
    # The illegal actions look best to the prior and to the model.
    model = bandit_model([9.0, 0.0, 0.0, 9.0], [5.0, 0.1, 0.2, 5.0])
    legal = jnp.broadcast_to(jnp.array([False, True, True, False]), (64, 4))
    search = jitted(
        model,
        evaluation,
        algorithm=algorithm,
        num_simulations=num_simulations,
        temperature_schedule=((0, 20.0),),
    )
    for key in keys(3):
        output = search(None, key, jnp.zeros(64), legal, 0)
        policy = np.asarray(output.search_policy)
        np.testing.assert_array_equal(policy[:, [0, 3]], 0.0)
        np.testing.assert_allclose(policy.sum(axis=-1), 1.0, rtol=1e-5)
        assert set(np.asarray(output.action)) <= {1, 2}
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(output))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_full_mask_is_no_mask(algorithm):
    search = jitted(mdp_model(), algorithm=algorithm, num_simulations=10)
    everything = jnp.ones((NUM_STATES, 3), bool)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        search(None, KEY, ALL_STATES, None, 0),
        search(None, KEY, ALL_STATES, everything, 0),
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("num_simulations", [0, 5])
def test_a_state_without_legal_actions_gives_numbers(algorithm, num_simulations):
    search = jitted(mdp_model(), algorithm=algorithm, num_simulations=num_simulations)
    output = search(None, KEY, ALL_STATES, jnp.zeros((NUM_STATES, 3), bool), 0)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(output))
    np.testing.assert_allclose(np.sum(output.search_policy, axis=-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("num_simulations", [0, 7])
def test_evaluation_ignores_the_key(algorithm, num_simulations):
    # Equal rewards and priors: every choice is a tie.
    search = jitted(
        bandit_model(np.zeros(5), np.zeros(5)),
        evaluation=True,
        algorithm=algorithm,
        num_simulations=num_simulations,
    )
    outputs = [search(None, key, jnp.zeros(8), None, 0) for key in keys(4)]
    for other in outputs[1:]:
        jax.tree.map(np.testing.assert_array_equal, outputs[0], other)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("num_simulations", [0, 7])
def test_training_explores(algorithm, num_simulations):
    search = jitted(
        bandit_model(np.zeros(5), np.zeros(5)), algorithm=algorithm, num_simulations=num_simulations
    )
    actions = [np.asarray(search(None, key, jnp.zeros(8), None, 0).action) for key in keys(4)]
    assert any(np.any(actions[0] != other) for other in actions[1:])
    assert len(np.unique(actions)) >= 3


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


def test_muzero_is_that_of_mctx():
    """Without noise at the root the search is mctx's own, visit for visit."""
    model = mdp_model()
    config = SearchConfig(num_simulations=30, dirichlet_fraction=0.0, pb_c_init=1.5, max_depth=3)
    output = jax.jit(make_search(config, model))(None, KEY, ALL_STATES, None, 0)
    search_key = jax.random.split(KEY, 3)[1]
    expected = mctx.muzero_policy(
        None,
        search_key,
        model.root(None, ALL_STATES),
        model.recurrent,
        num_simulations=30,
        max_depth=3,
        dirichlet_fraction=0.0,
        pb_c_init=1.5,
    )
    np.testing.assert_allclose(output.search_policy, expected.action_weights, atol=1e-6)
    np.testing.assert_allclose(output.search_value, expected.search_tree.summary().value, atol=1e-5)


def test_gumbel_is_that_of_mctx():
    model = mdp_model()
    legal = jnp.arange(3) != jnp.arange(NUM_STATES)[:, None] % 3
    config = SearchConfig(algorithm="gumbel", num_simulations=12, max_num_considered_actions=2)
    output = jax.jit(make_search(config, model))(None, KEY, ALL_STATES, legal, 0)
    expected = mctx.gumbel_muzero_policy(
        None,
        KEY,
        model.root(None, ALL_STATES),
        model.recurrent,
        num_simulations=12,
        invalid_actions=~legal,
        max_num_considered_actions=2,
    )
    np.testing.assert_array_equal(output.action, expected.action)
    np.testing.assert_allclose(output.search_policy, expected.action_weights, atol=1e-6)


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


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_statistics_of_a_search_are_a_number_each(algorithm):
    search = jitted(mdp_model(), algorithm=algorithm, num_simulations=6)
    none = jitted(mdp_model(), algorithm=algorithm, num_simulations=0)
    for function in (search, none):
        output = function(None, KEY, ALL_STATES, None, 0)
        assert set(output.statistics) == {
            "search_entropy",
            "prior_entropy",
            "search_prior_kl",
            "search_depth_max",
            "search_depth_mean",
        }
        assert all(x.shape == (NUM_STATES,) for x in output.statistics.values())
        np.testing.assert_allclose(output.statistics["prior_entropy"], np.log(3), rtol=1e-5)
        assert output.action.dtype == np.int32
    np.testing.assert_allclose(output.statistics["search_prior_kl"], 0.0, atol=1e-6)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_model_is_called_once_per_simulation_and_gets_the_params(algorithm):
    calls = []
    model = mdp_model()

    def recurrent(params, key, action, embedding):
        jax.debug.callback(lambda p: calls.append(float(p)), params)
        return model.recurrent(params, key, action, embedding)

    search = jitted(SearchModel(model.root, recurrent), algorithm=algorithm, num_simulations=9)
    search(jnp.float32(4.5), KEY, ALL_STATES, None, 0).action.block_until_ready()
    jax.effects_barrier()
    assert calls == [4.5] * 9


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"algorithm": "alphazero"}, "unknown search algorithm 'alphazero'; known are muzero"),
        ({"num_simulations": -1}, "search.num_simulations must not be negative, not -1"),
        ({"max_depth": 0}, "search.max_depth must be at least 1, not 0"),
        ({"max_num_considered_actions": 0}, "actions must be at least 1, not 0"),
        ({"dirichlet_alpha": 0.0}, "search.dirichlet_alpha must be positive, not 0.0"),
        ({"dirichlet_fraction": 1.5}, "search.dirichlet_fraction must be from 0 to 1, not 1.5"),
        ({"temperature_schedule": ()}, "ascend from 0"),
        ({"temperature_schedule": ((5, 1.0),)}, "ascend from 0"),
        ({"temperature_schedule": ((0, 1.0), (9, 0.5), (9, 0.2))}, "ascend from 0"),
        ({"temperature_schedule": ((0, 1.0), (2**31, 0.5))}, "at most 2147483647, not 2147483648"),
        ({"temperature_schedule": ((0, -1.0),)}, "temperatures must be 0 or more"),
        ({"temperature_schedule": ((0, float("nan")),)}, "temperatures must be 0 or more"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(SearchConfig(), **settings)
