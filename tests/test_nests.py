"""Selection of batch entries of nests."""

import numpy as np

from mukoe.nests import tree_where


def test_entries_of_all_ranks_are_selected():
    condition = np.array([True, False, True])
    ones = {"a": np.ones(3), "b": (np.ones((3, 2, 4)), np.ones((3, 1), np.int32))}
    zeros = {"a": np.zeros(3), "b": (np.zeros((3, 2, 4)), np.zeros((3, 1), np.int32))}
    selected = tree_where(condition, ones, zeros)
    np.testing.assert_array_equal(selected["a"], condition)
    np.testing.assert_array_equal(selected["b"][0], np.ones((3, 2, 4)) * condition[:, None, None])
    np.testing.assert_array_equal(selected["b"][1], condition[:, None])
    assert selected["b"][1].dtype == np.int32
