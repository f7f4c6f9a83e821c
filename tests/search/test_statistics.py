import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.search.statistics import entropy, node_depths, policy_statistics


def depths_by_walking(parents):
    depths = np.zeros_like(parents)
    for b, row in enumerate(parents):
        for node in range(len(row)):
            at = node
            while row[at] >= 0:
                at = row[at]
                depths[b, node] += 1
    return depths


def test_depths_by_hand():
    #  0 - 1 - 3 - 4      and a chain, with one node that was never expanded.
    #   \- 2
    parents = jnp.array([[-1, 0, 0, 1, 3], [-1, 0, 1, 2, -1]])
    np.testing.assert_array_equal(node_depths(parents), [[0, 1, 1, 2, 3], [0, 1, 2, 3, 0]])


@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 5, 9, 17, 51])
def test_depths_of_any_tree(nodes):
    rng = np.random.default_rng(nodes)
    chain = np.arange(-1, nodes - 1)
    anything = np.array([-1] + [rng.integers(0, i) for i in range(1, nodes)])
    parents = np.stack([chain, anything])
    np.testing.assert_array_equal(node_depths(jnp.asarray(parents)), depths_by_walking(parents))


def test_entropy_and_kl_by_hand():
    search_policy = jnp.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    prior = jnp.array([[0.25, 0.25, 0.5], [0.25, 0.75, 0.0]])
    statistics = policy_statistics(search_policy, prior)
    log2 = np.log(2)
    np.testing.assert_allclose(statistics["search_entropy"], [log2, 0.0], rtol=1e-6)
    np.testing.assert_allclose(
        statistics["prior_entropy"], [1.5 * log2, 2 * log2 - 0.75 * np.log(3)], rtol=1e-6
    )
    np.testing.assert_allclose(statistics["search_prior_kl"], [log2, 2 * log2], rtol=1e-6)


def test_entropy_of_uniform():
    assert float(entropy(jnp.full(8, 0.125))) == pytest.approx(np.log(8))
