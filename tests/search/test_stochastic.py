"""Trees of decisions and chance: against mctx's, and against expectimax."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from mukoe.errors import UserError
from mukoe.networks.action_space import BoxSpace, DiscreteSpace
from mukoe.networks.distributions import GaussianConfig
from mukoe.search.candidates import CandidateSampler
from mukoe.search.config import SearchConfig
from mukoe.search.stochastic import StochasticModel, stochastic_search_model
from tests.search.problems import jitted, jitted_tree
from tests.search.stochastic_problems import NUM_ACTIONS, NUM_OUTCOMES, NUM_STATES, Process

EXACT = ("node_visits", "parents", "action_from_parent", "children_index", "children_visits")
CLOSE = ("raw_values", "node_values", "children_rewards", "children_discounts", "children_values")


def grow(model, observation, num_simulations, algorithm="muzero", **kwargs):
    """The tree with its embeddings, which say of what kind a node is."""
    search_model = stochastic_search_model(model, **kwargs)
    select, select_at_root = mctx.muzero_action_selection, None
    extra_data = None
    if algorithm == "muzero":
        select_at_root = functools.partial(select, depth=0)
    else:
        select = mctx.gumbel_muzero_interior_action_selection
        select_at_root = functools.partial(
            mctx.gumbel_muzero_root_action_selection,
            num_simulations=num_simulations,
            max_num_considered_actions=NUM_ACTIONS,
        )
        gumbel = jax.random.gumbel(jax.random.PRNGKey(5), (len(observation), NUM_ACTIONS))
        extra_data = mctx.GumbelMuZeroExtraData(root_gumbel=gumbel)
    return jax.jit(
        lambda key: search_model.search(
            None,
            key,
            root=search_model.root(None, observation),
            recurrent_fn=search_model.recurrent,
            root_action_selection_fn=select_at_root,
            interior_action_selection_fn=select,
            num_simulations=num_simulations,
            extra_data=extra_data,
        )
    )(jax.random.PRNGKey(3))


def test_the_tree_is_that_of_mctx():
    process = Process(seed=0, horizon=4)
    model, observation = process.model(knows_values=True), process.observations()
    legal = np.ones((NUM_STATES, NUM_ACTIONS), bool)
    legal[1, 0] = legal[2, 1] = False
    ours = jitted_tree(stochastic_search_model(model), evaluation=True, num_simulations=40)
    output, tree = ours(None, None, observation, jnp.asarray(legal), 0)
    # Scores that tie are decided by the key, which in an evaluation is always this one.
    key = jax.random.split(jax.random.key(0), 3)[1]
    expected = jax.jit(
        lambda: mctx.stochastic_muzero_policy(
            None,
            key,
            model.root(None, observation),
            model.decision,
            model.chance,
            num_simulations=40,
            invalid_actions=jnp.asarray(~legal, jnp.float32),
            dirichlet_fraction=0.0,
        )
    )()
    for name in EXACT:
        np.testing.assert_array_equal(getattr(tree, name), getattr(expected.search_tree, name))
    for name in CLOSE:
        ours_and_theirs = getattr(tree, name), getattr(expected.search_tree, name)
        np.testing.assert_allclose(*ours_and_theirs, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(output.search_policy, expected.action_weights, atol=1e-6)


@pytest.mark.parametrize("algorithm", ["muzero", "gumbel"])
def test_node_kinds_alternate_and_edges_are_of_the_kind_of_their_node(algorithm):
    process = Process(seed=1, horizon=6)
    simulations = 60
    tree = grow(process.model(knows_values=True), process.observations(), simulations, algorithm)
    parents, edges = np.asarray(tree.parents), np.asarray(tree.action_from_parent)
    is_decision = np.asarray(tree.embeddings["is_decision"])
    assert is_decision[:, 0].all()
    depths = np.zeros(parents.shape, int)
    for b in range(NUM_STATES):
        for node in range(1, simulations + 1):
            parent = parents[b, node]
            depths[b, node] = depths[b, parent] + 1
            assert is_decision[b, node] != is_decision[b, parent]
            if is_decision[b, parent]:
                assert 0 <= edges[b, node] < NUM_ACTIONS
            else:
                assert NUM_ACTIONS <= edges[b, node] < NUM_ACTIONS + NUM_OUTCOMES
    assert depths.max() >= 4 and (depths % 2 == 1).any() and (depths[:, 1:] % 2 == 0).any()
    np.testing.assert_array_equal(is_decision, depths % 2 == 0)
    # What is seen of a tree are its decisions: chance nodes have no edge, and all simulations
    # of the root are with actions.
    visits = np.asarray(tree.children_visits)
    assert visits.shape[-1] == NUM_ACTIONS
    assert not visits[~is_decision].any()
    np.testing.assert_array_equal(visits[:, 0].sum(-1), simulations)


def test_a_chance_node_is_visited_as_its_probabilities_say():
    """By the largest p / (n + 1): after n visits each count is within 1 of its share."""
    process = Process(seed=2, horizon=1)
    simulations = 200
    tree = grow(process.model(knows_values=True), process.observations(), simulations)
    parents, edges = np.asarray(tree.parents), np.asarray(tree.action_from_parent)
    visits = np.asarray(tree.node_visits)
    for b in range(NUM_STATES):
        for node in np.flatnonzero(parents[b] == 0):
            children = np.flatnonzero(parents[b] == node)
            counts = np.zeros(NUM_OUTCOMES)
            counts[edges[b, children] - NUM_ACTIONS] = visits[b, children]
            assert counts.sum() == visits[b, node] - 1
            share = process.probability[b, edges[b, node]] * counts.sum()
            assert np.abs(counts - share).max() <= NUM_OUTCOMES


@pytest.mark.parametrize(
    ("algorithm", "horizon", "knows_values", "simulations", "tolerance"),
    # The mean over all visits is lower than the best: the search also tries the other actions.
    [
        ("muzero", 3, True, 300, 0.15),
        ("muzero", 2, False, 1500, 0.1),
        ("gumbel", 2, True, 200, 0.1),
    ],
)
def test_the_search_is_expectimax(algorithm, horizon, knows_values, simulations, tolerance):
    process = Process(seed=3, horizon=horizon)
    model = stochastic_search_model(process.model(knows_values))
    settings = {"algorithm": algorithm, "num_simulations": simulations}
    search = jitted_tree(model, evaluation=True, **settings)
    output, tree = search(None, None, process.observations(), None, 0)
    qvalues, best = process.qvalues[horizon], process.qvalues[horizon].argmax(-1)
    np.testing.assert_array_equal(output.action, best)
    found = np.asarray(tree.summary().qvalues)
    rows = np.arange(NUM_STATES)
    np.testing.assert_allclose(found[rows, best], qvalues[rows, best], atol=tolerance)
    np.testing.assert_allclose(output.search_value, process.values[horizon], atol=2 * tolerance)


@pytest.mark.parametrize("algorithm", ["muzero", pytest.param("gumbel", marks=pytest.mark.slow)])
def test_enough_candidates_are_the_full_search(algorithm):
    process = Process(seed=3, horizon=3)
    model, observation = process.model(knows_values=True), process.observations()
    settings = {"algorithm": algorithm, "num_simulations": 60}
    sampler = CandidateSampler(
        DiscreteSpace(NUM_ACTIONS), SearchConfig(num_candidates=NUM_ACTIONS + 1)
    )
    legal = jnp.ones((NUM_STATES, NUM_ACTIONS), bool).at[1, 0].set(False)
    full = jitted(stochastic_search_model(model), **settings)
    sampled = jitted(stochastic_search_model(model, candidates=sampler), **settings)
    key = jax.random.PRNGKey(3)
    search_key, _ = jax.random.split(key)
    expected = full(None, search_key, observation, legal, 0)
    output = sampled(None, key, observation, legal, 0)
    np.testing.assert_array_equal(output.action, expected.action)
    np.testing.assert_allclose(output.search_policy, expected.search_policy, atol=1e-5)
    np.testing.assert_allclose(output.search_value, expected.search_value, rtol=1e-5)
    np.testing.assert_array_equal(
        output.candidates, np.tile(np.arange(NUM_ACTIONS), (NUM_STATES, 1))
    )


def gamble():
    """One bet of a real number with even odds: `-(bet - 0.5)² ± 1`; then it is over."""

    def decision(params, key, action, embedding):
        del params, key, embedding
        afterstate = action[:, 0]
        return mctx.DecisionRecurrentFnOutput(
            chance_logits=jnp.zeros((len(action), 2)), afterstate_value=-((afterstate - 0.5) ** 2)
        ), afterstate

    def chance(params, key, outcome, embedding):
        del params, key
        reward = -((embedding - 0.5) ** 2) + 2.0 * outcome - 1.0
        zeros = jnp.zeros_like(reward)
        return mctx.ChanceRecurrentFnOutput(
            action_logits=jnp.zeros((len(outcome), 2)), value=zeros, reward=reward, discount=zeros
        ), embedding

    def root(params, observation):
        del params
        return mctx.RootFnOutput(
            prior_logits=jnp.zeros((len(observation), 2)), value=observation, embedding=observation
        )

    return StochasticModel(root, decision, chance, num_actions=2, num_outcomes=2)


@pytest.mark.parametrize("algorithm", ["muzero", "gumbel"])
def test_candidates_of_real_numbers_under_chance(algorithm):
    space = BoxSpace(1, GaussianConfig(initial_std=0.4))
    sampler = CandidateSampler(space, SearchConfig(num_candidates=8))
    model = stochastic_search_model(gamble(), candidates=sampler)
    search = jitted(model, algorithm=algorithm, num_simulations=64, gumbel_scale=0.0)
    output = search(None, jax.random.PRNGKey(0), jnp.zeros(64), None, 0)
    bets = np.asarray(output.candidates)[..., 0]
    assert bets.shape == (64, 8) and len(np.unique(bets)) == 64 * 8
    assert output.action.shape == (64, 1)
    # The mean of the prior is 0.
    assert np.mean(np.sum(output.search_policy * bets, axis=1)) > 0.15
    chosen = np.asarray(output.action)[:, 0]
    np.testing.assert_allclose(np.abs(bets - chosen[:, None]).min(axis=1), 0.0)


def test_outcomes_can_be_drawn():
    process = Process(seed=4, horizon=1)
    model = stochastic_search_model(process.model(knows_values=True), sample_outcomes=True)
    search = jitted(model, num_simulations=400)
    values = [
        np.asarray(search(None, jax.random.PRNGKey(seed), process.observations(), None, 0)[2])
        for seed in range(2)
    ]
    assert not np.array_equal(*values)
    tree = grow(process.model(knows_values=True), process.observations(), 400, sample_outcomes=True)
    parents, edges = np.asarray(tree.parents), np.asarray(tree.action_from_parent)
    visits = np.asarray(tree.node_visits)
    for b in range(NUM_STATES):
        node = max(np.flatnonzero(parents[b] == 0), key=lambda node: visits[b, node])
        children = np.flatnonzero(parents[b] == node)
        share = np.zeros(NUM_OUTCOMES)
        share[edges[b, children] - NUM_ACTIONS] = visits[b, children] / (visits[b, node] - 1)
        np.testing.assert_allclose(share, process.probability[b, edges[b, node]], atol=0.15)


@pytest.mark.parametrize("batch", [1, 3])
def test_depth_counts_actions(batch):
    process = Process(seed=5, horizon=9)
    model = stochastic_search_model(process.model(knows_values=True))
    search = jitted(model, evaluation=True, num_simulations=60, max_depth=2)
    output = search(None, None, process.observations()[:batch], None, 0)
    # Two actions and two outcomes.
    np.testing.assert_array_equal(output.statistics["search_depth_max"], 4)


def test_without_simulations_the_prior_acts():
    process = Process(seed=6, horizon=2)
    model = stochastic_search_model(process.model(knows_values=True))
    search = jitted(model, evaluation=True, num_simulations=0)
    output = search(None, None, process.observations(), None, 0)
    np.testing.assert_allclose(output.search_policy, 1 / NUM_ACTIONS, rtol=1e-6)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("part, field", [("decision", "afterstate_value"), ("chance", "value")])
def test_a_model_with_wrong_shapes_is_refused(part, field, batch):
    process = Process(seed=6, horizon=2)
    model = process.model(knows_values=True)

    def wrong(*inputs):
        output, embedding = getattr(model, part)(*inputs)
        column = getattr(output, field)[:, None]
        return dataclasses.replace(output, **{field: column}), embedding

    search = jitted(stochastic_search_model(model._replace(**{part: wrong})), num_simulations=2)
    with pytest.raises(UserError, match=rf"model's {field} \[B\] must have shape \({batch},\)"):
        search(None, jax.random.PRNGKey(0), process.observations()[:batch], None, 0)
