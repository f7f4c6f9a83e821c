"""The sum tree against a running sum."""

import numpy as np
import pytest

from mukoe.replay.in_process.sum_tree import SumTree


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 100, 1025])
def test_draws_where_the_running_sum_passes(size):
    random = np.random.default_rng(size)
    tree, naive = SumTree(size), np.zeros(size)
    for _ in range(20):
        indices = random.integers(0, size, 40)
        # Multiples of 1/64 add up exactly, so that both sides agree on every boundary.
        weights = random.integers(0, 3, 40) * random.integers(0, 64, 40) / 64
        weights[0] = 1.0
        tree.set(indices, weights)
        for index, weight in zip(indices, weights, strict=True):
            naive[index] = weight
        np.testing.assert_array_equal(tree.weights, naive)
        assert tree.total == naive.sum()
        if naive.sum() > 0:
            uniforms = random.integers(0, 1 << 20, 200) / (1 << 20)
            expected = np.searchsorted(np.cumsum(naive), uniforms * naive.sum(), side="right")
            np.testing.assert_array_equal(tree.sample(uniforms), expected)


def test_never_draws_weight_zero():
    tree = SumTree(1000)
    weights = np.where(np.arange(1000) % 7 == 3, 1e-3 / np.arange(1, 1001), 0.0)
    tree.set(np.arange(1000), weights)
    uniforms = np.concatenate([np.linspace(0, 1, 5000, endpoint=False), [np.nextafter(1.0, 0.0)]])
    assert (weights[tree.sample(uniforms)] > 0).all()


def test_does_not_depend_on_the_order_of_sets():
    random = np.random.default_rng(0)
    weights = random.random(50)
    at_once, one_by_one = SumTree(50), SumTree(50)
    at_once.set(np.arange(50), weights)
    for index in random.permutation(50):
        one_by_one.set(np.array([index]), np.array([9.0]))
        one_by_one.set(np.array([index]), weights[[index]])
    assert at_once.total == one_by_one.total


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_refuses_what_is_no_weight(weight):
    with pytest.raises(ValueError, match="finite and not negative"):
        SumTree(4).set(np.array([1]), np.array([weight]))


def test_an_empty_tree_has_nothing_to_draw():
    with pytest.raises(ValueError, match="cannot be sampled"):
        SumTree(4).sample(np.array([0.5]))


def test_the_largest_weight_follows_every_change():
    random, tree = np.random.default_rng(0), SumTree(5)
    assert tree.largest == 0
    for _ in range(50):
        tree.set(random.integers(0, 5, 2), random.random(2))
        assert tree.largest == tree.weights.max() == tree.largest
