"""Searches from the trees of previous ones, on a random model."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from mukoe.errors import UserError
from mukoe.nests import take
from mukoe.search.config import SearchConfig
from mukoe.search.nodes import NONE, nodes_of, subtree
from mukoe.search.plan import plan, plan_from
from mukoe.search.reuse import no_tree, reuses_tree, without_trees
from mukoe.types import EnvironmentSpec
from tests.search.test_nodes import assert_same
from tests.search.test_tree_search import ACTIONS, BATCH, WIDTH, random_model, random_problem

SIMULATIONS = 24
MODEL = random_model(0, noise=0.0)._replace(
    position=specs.Array((WIDTH,), np.float32, name="position")
)
SPEC = EnvironmentSpec(
    observations=None,
    actions=specs.DiscreteArray(ACTIONS, np.int32),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, -1.0, 1.0),
)
KEY = jax.random.PRNGKey(0)
STEPS = 7


def config_of(algorithm):
    return SearchConfig(
        algorithm=algorithm, num_simulations=SIMULATIONS, evaluation_reuse_tree=True
    )


@functools.cache
def search_of(algorithm):
    """Returns the jitted search `(trees, states, legal actions, learner steps)`."""
    config = config_of(algorithm)

    def run(previous, state, legal, learner_steps=STEPS):
        root = MODEL.root(None, state)
        return plan_from(previous, config, MODEL, None, KEY, root, legal, learner_steps)

    return jax.jit(run)


def start(batch_size=BATCH):
    return no_tree(config_of("muzero"), MODEL, SPEC, batch_size)


def all_legal(batch_size=BATCH):
    return jnp.ones((batch_size, ACTIONS), bool)


def two_moves_later(tree):
    """Returns the most visited node `[B]` two moves below the root, and its states."""
    nodes = tree.nodes
    visits = np.where(nodes.links[..., 2] == 2, nodes.visits, 0)
    node = visits.argmax(axis=1)
    return node, nodes.embeddings[np.arange(BATCH), node]


@pytest.mark.parametrize("algorithm", ["muzero", "gumbel"])
def test_without_a_previous_tree_the_search_is_the_plain_one(algorithm):
    _, state, legal = random_problem(0)
    output, tree, _ = search_of(algorithm)(start(), state, legal)
    config = dataclasses.replace(config_of(algorithm), evaluation_reuse_tree=False)
    plain, plain_tree = jax.jit(functools.partial(plan, config, MODEL, None, KEY, evaluation=True))(
        MODEL.root(None, state), legal, STEPS
    )
    np.testing.assert_array_equal(output.action, plain.action)
    np.testing.assert_allclose(output.search_policy, plain.search_policy, atol=1e-5)
    np.testing.assert_allclose(output.search_value, plain.search_value, atol=1e-5)
    used = SIMULATIONS + 1
    np.testing.assert_array_equal(tree.children_index[:, :used], plain_tree.children_index)
    assert not np.any(tree.node_visits[:, used:])
    assert not np.any(output.statistics["search_visits_kept"])


def test_a_search_of_the_visits_of_both():
    """PUCT below a node is a search of that node, with one simulation for each visit."""
    _, state, legal = random_problem(0)
    _, _, first = search_of("muzero")(start(), state, legal)
    node, state = two_moves_later(first)
    carried = np.asarray(first.nodes.visits)[np.arange(BATCH), node]
    output, tree, second = search_of("muzero")(first, state, all_legal())

    np.testing.assert_array_equal(output.statistics["search_visits_kept"], carried)
    np.testing.assert_array_equal(tree.node_visits[:, 0], carried + SIMULATIONS)
    longest = SearchConfig(num_simulations=int(carried.max()) - 1 + SIMULATIONS)
    long = jax.jit(functools.partial(plan, longest, MODEL, None, KEY, evaluation=True))
    _, long_tree = long(MODEL.root(None, state), all_legal(), STEPS)
    assert len(set(carried)) > 1
    for b in range(BATCH):
        limit = int(carried[b]) + SIMULATIONS
        own = take(nodes_of(long_tree), slice(b, b + 1))
        shorter = subtree(own, jnp.zeros(1, jnp.int32), limit)
        found = take(second.nodes, slice(b, b + 1), slice(limit))
        assert_same(found._replace(embeddings=()), take(shorter, slice(None), slice(limit)))


def test_sequential_halving_counts_new_visits():
    _, state, legal = random_problem(0)
    _, _, first = search_of("gumbel")(start(), state, legal)
    node, state = two_moves_later(first)
    rows = np.arange(BATCH)
    children = np.asarray(first.nodes.children)[rows, node]
    carried = np.asarray(first.nodes.visits)[rows[:, None], children] * (children != NONE)
    output, tree, _ = search_of("gumbel")(first, state, all_legal())
    new = np.asarray(tree.children_visits)[:, 0] - carried
    assert carried.sum(axis=1).max() > 2
    # 24 simulations on 4 considered actions: 3 for each one, then 6 for each one of the best two.
    np.testing.assert_array_equal(np.sort(new, axis=1), [[3, 3, 9, 9]] * BATCH)
    assert np.all(new[rows, output.action] == 9)


def test_nothing_is_kept_in_other_positions():
    _, state, legal = random_problem(0)
    run = search_of("muzero")
    fresh, _, first = run(start(), state, legal)
    _, later = two_moves_later(first)
    # A position that is not in the tree, such as that of a new game.
    other = state + 1.0
    unrelated, _, _ = run(first, other, all_legal())
    assert not np.any(unrelated.statistics["search_visits_kept"])
    # Other parameters.
    newer, _, _ = run(first, later, all_legal(), STEPS + 1)
    assert not np.any(newer.statistics["search_visits_kept"])
    # A state without its trees, as after a move was taken back.
    taken_back, _, _ = run(without_trees(first, start()), state, legal)
    np.testing.assert_array_equal(taken_back.search_policy, fresh.search_policy)


def test_batch_entries_are_independent():
    _, state, legal = random_problem(0)
    run = search_of("muzero")
    _, _, first = run(start(), state, legal)
    _, later = two_moves_later(first)
    goes_on = np.arange(BATCH) % 2 == 0
    mixed, _, _ = run(first, jnp.where(goes_on[:, None], later, state + 1.0), all_legal())
    kept, _, _ = run(first, later, all_legal())
    fresh, _, _ = run(start(), state + 1.0, all_legal())
    expected = np.where(goes_on[:, None], kept.search_policy, fresh.search_policy)
    np.testing.assert_array_equal(mixed.search_policy, expected)
    np.testing.assert_array_equal(mixed.statistics["search_visits_kept"] > 0, goes_on)


def test_learned_models_and_chance_are_refused():
    config = config_of("muzero")
    assert reuses_tree(config, MODEL)
    assert not reuses_tree(dataclasses.replace(config, num_simulations=0), MODEL)
    chance = MODEL._replace(search=lambda *_, **__: None)
    for model in (MODEL._replace(position=None), chance):
        with pytest.raises(UserError, match="needs an agent that searches the rules of a game"):
            reuses_tree(config, model)
        assert not reuses_tree(SearchConfig(), model)
