"""Searches of every algorithm: optimal actions, masks, exploration, statistics, shapes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.errors import UserError
from mukoe.search.base import SearchModel
from mukoe.search.puct import puct_search
from tests.search.problems import (
    ALL_STATES,
    HORIZON,
    KEY,
    NUM_STATES,
    bandit_model,
    jitted,
    keys,
    mdp_model,
    nim_legal,
    nim_model,
    solve_mdp,
    solve_nim,
)

ALGORITHMS = ("muzero", "gumbel")


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
    # The best action is better by a margin.
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
@pytest.mark.parametrize("num_simulations", [0, pytest.param(1, marks=pytest.mark.slow), 20])
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
@pytest.mark.parametrize("num_simulations", [0, 20])
def test_evaluation_draws_from_the_search_policy_at_its_temperature(algorithm, num_simulations):
    settings = {"algorithm": algorithm, "num_simulations": num_simulations}
    model, many = bandit_model(np.log([0.5, 0.3, 0.2]), [0.0, 0.05, 0.1]), jnp.zeros(1_000)
    greedy = jitted(model, evaluation=True, **settings)(None, KEY, many, None, 0)
    drawn = jitted(model, evaluation=True, evaluation_temperature=0.5, **settings)
    output = drawn(None, KEY, many, None, 0)
    np.testing.assert_array_equal(output.search_policy, greedy.search_policy)
    squared = np.asarray(output.search_policy[0]) ** 2
    frequencies = np.bincount(output.action, minlength=3) / len(many)
    np.testing.assert_allclose(frequencies, squared / squared.sum(), atol=0.05)


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


def uniform_search(config, model, params, key, root, legal_actions, learner_steps, *, evaluation):
    """A search algorithm of another module: PUCT, whose search policy is uniform."""
    inputs = (config, model, params, key, root, legal_actions, learner_steps)
    output, tree = puct_search(*inputs, evaluation=evaluation)
    count = jnp.sum(legal_actions, axis=-1, keepdims=True)
    return output._replace(search_policy=legal_actions / count), tree


def test_an_algorithm_of_another_module():
    search = jitted(
        mdp_model(), algorithm="tests.search.test_plan:uniform_search", num_simulations=4
    )
    output = search(None, KEY, ALL_STATES, jnp.ones((NUM_STATES, 3), bool), 0)
    np.testing.assert_allclose(output.search_policy, 1 / 3, rtol=1e-6)


def with_wrong_root(model, **fields):
    def root(params, observation):
        output = model.root(params, observation)
        return dataclasses.replace(output, **{k: f(getattr(output, k)) for k, f in fields.items()})

    return model._replace(root=root)


def with_wrong_step(model, **fields):
    def recurrent(*inputs):
        output, embedding = model.recurrent(*inputs)
        changed = {k: f(getattr(output, k)) for k, f in fields.items()}
        return dataclasses.replace(output, **changed), embedding

    return model._replace(recurrent=recurrent)


def column(array):
    return array[..., None]


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "wrong, fields, message",
    [
        (with_wrong_root, {"value": column}, r"root's value \[B\] must have shape \({b},\), not"),
        (with_wrong_root, {"prior_logits": column}, r"prior_logits \[B, A\] must have 2 axes"),
        (with_wrong_root, {"embedding": lambda x: x[:0]}, r"embedding \[B, ...\] must have shape"),
        (with_wrong_step, {"value": column}, r"model's value \[B\] must have shape \({b},\), not"),
        (with_wrong_step, {"reward": column}, r"model's reward \[B\] must have shape \({b},\)"),
        (with_wrong_step, {"discount": column}, r"model's discount \[B\] must have shape"),
        (with_wrong_step, {"prior_logits": lambda x: x[:, :2]}, r"\({b}, 3\), not \({b}, 2\)"),
    ],
)
def test_a_model_with_wrong_shapes_is_refused(wrong, fields, message, batch, algorithm):
    search = jitted(wrong(mdp_model(), **fields), algorithm=algorithm, num_simulations=3)
    with pytest.raises(UserError, match=message.replace("{b}", str(batch))):
        search(None, KEY, ALL_STATES[:batch], None, 0)


def test_a_mask_of_wrong_shape_is_refused():
    with pytest.raises(UserError, match=r"legal_actions \[B, A\] must have shape \(6, 3\), not"):
        jitted(mdp_model(), num_simulations=2)(None, KEY, ALL_STATES, jnp.ones((3, 6), bool), 0)
