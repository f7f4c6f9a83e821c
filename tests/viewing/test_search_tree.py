"""Trees are read as mctx means them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.search.config import SearchConfig
from mukoe.search.q_normalization import completed_qvalues
from mukoe.viewing.inspected_agent import Decision
from mukoe.viewing.search_tree import from_mctx
from tests.search.problems import (
    NUM_STATES,
    jitted,
    jitted_tree,
    mdp_model,
    nim_legal,
    nim_model,
)

KEY = jax.random.PRNGKey(3)
STATES = jnp.stack([jnp.arange(NUM_STATES), jnp.full(NUM_STATES, 3)], axis=-1)


def search_mdp(algorithm="muzero", num_simulations=40, **settings):
    config = SearchConfig(algorithm=algorithm, num_simulations=num_simulations, **settings)
    function = jitted_tree(mdp_model(), evaluation=True, **vars(config))
    return config, *function(None, KEY, STATES, None, 0)


def walk(tree, index, action):
    """The expected line, from the definition: the most visited, then the best."""
    line, node = [], 0
    while int(tree.children_index[index, node, action]) >= 0:
        line.append(action)
        node = int(tree.children_index[index, node, action])
        best = None
        for a in range(tree.num_actions):
            visits = int(tree.children_visits[index, node, a])
            q = float(tree.children_rewards[index, node, a]) + float(
                tree.children_discounts[index, node, a]
            ) * float(tree.children_values[index, node, a])
            if visits and (best is None or (visits, q) > best[0]):
                best = ((visits, q), a)
        if best is None:
            break
        action = best[1]
    return line


@pytest.mark.parametrize("algorithm", ["muzero", "gumbel"])
def test_the_line_is_the_most_visited_path(algorithm):
    _, output, tree = search_mdp(algorithm)
    lengths = set()
    for index in range(NUM_STATES):
        action = int(output.action[index])
        line = from_mctx(tree, index).principal_variation(action)
        assert line == walk(tree, index, action)
        lengths.add(len(line))
    assert max(lengths) > 2


@pytest.mark.parametrize("algorithm", ["muzero", "gumbel"])
def test_the_search_is_that_of_acting(algorithm):
    config, output, tree = search_mdp(algorithm)
    acting = jitted(mdp_model(), evaluation=True, **vars(config))
    jax.tree.map(np.testing.assert_array_equal, output, acting(None, KEY, STATES, None, 0))
    assert tree.embeddings == ()


def test_qvalues_priors_and_depths():
    _, _, tree = search_mdp()
    summary = tree.summary()
    for index in range(NUM_STATES):
        read = from_mctx(tree, index)
        tried = np.asarray(summary.visit_counts[index]) > 0
        np.testing.assert_allclose(read.qvalues[0][tried], summary.qvalues[index][tried], rtol=1e-6)
        assert np.all(np.isnan(read.qvalues[0][~tried]))
        np.testing.assert_allclose(read.priors, 1 / 3, rtol=1e-6)
        assert read.num_simulations == 40
        for node in range(1, 41):
            path, at = 0, node
            while at > 0:
                at, path = int(tree.parents[index, at]), path + 1
            assert read.depths[node] == path
        assert not read.two_players


def test_the_most_visited_nodes_are_a_tree():
    _, _, tree = search_mdp()
    for index in range(NUM_STATES):
        read = from_mctx(tree, index)
        for limit in (1, 5, 17, 100):
            nodes = read.most_visited(limit)
            assert nodes[0] == 0 and len(nodes) == min(limit, 41)
            assert all(read.parents[node] in nodes for node in nodes[1:])
            left_out = set(range(41)) - set(nodes)
            least = min(read.visits[node] for node in nodes)
            assert all(read.visits[node] <= least for node in left_out)


@pytest.mark.parametrize("algorithm", ["muzero", "gumbel"])
def test_completed_qvalues_are_those_of_the_search(algorithm):
    _, output, tree = search_mdp(algorithm, num_simulations=2)
    expected = jax.vmap(completed_qvalues, in_axes=(0, None))(tree, tree.ROOT_INDEX)
    for index in range(NUM_STATES):
        read = from_mctx(tree, index)
        np.testing.assert_allclose(read.completed_qvalues, expected[index], rtol=1e-5, atol=1e-6)
        policy = np.asarray(output.search_policy[index])
        decision = Decision(int(output.action[index]), 0.0, policy, read)
        visited = read.child_visits[0] > 0
        assert not visited.all()
        np.testing.assert_array_equal(np.isnan(decision.qvalues), ~visited & (policy == 0))
        # Only the policy of Gumbel MuZero gives weight to unvisited actions.
        assert np.isnan(decision.qvalues).any() == (algorithm == "muzero")


def test_unused_nodes_of_a_flat_search_are_left_out():
    _, _, tree = search_mdp(max_depth=1)
    assert len(from_mctx(tree).most_visited(100)) == 4


def test_nim_is_played_by_two_with_illegal_moves_marked():
    piles = jnp.array([2, 7])
    function = jitted_tree(nim_model(), evaluation=True, num_simulations=300)
    output, tree = function(None, KEY, piles, nim_legal(piles), 0)
    small, large = from_mctx(tree, 0), from_mctx(tree, 1)
    assert small.legal_actions.tolist() == [True, True, False]
    assert large.two_players
    # From 7 the winning move takes 3; the opponent, with 4, loses with every move.
    assert int(output.action[1]) == 2
    assert large.qvalues[0, 2] > 0.5
    assert large.values[large.children[0, 2]] < -0.5
