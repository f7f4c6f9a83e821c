"""A run as named arrays, and back."""

import numpy as np

from mukoe.layouts.common.run_state import (
    arrays_to_episodes,
    arrays_to_tree,
    episodes_to_arrays,
    pack,
    tree_to_arrays,
    unpack,
)
from mukoe.types import EpisodeResult


def test_parts_are_found_by_their_names():
    parts = pack(replay={"rows": np.arange(3)}, replayed={"rows": np.arange(2)}, none={})
    assert parts.keys() == {"replay/rows", "replayed/rows"}
    assert unpack(parts, "replay")["rows"].tolist() == [0, 1, 2]
    assert unpack(parts, "none") == {} == unpack(parts, "unknown")
    nested = pack(outer=pack(inner={"x": np.zeros(1)}))
    assert unpack(unpack(nested, "outer"), "inner").keys() == {"x"}


def test_trees_keep_their_structure():
    tree = {"b": (np.arange(2), np.float32(3)), "a": [np.ones((2, 2))]}
    again = arrays_to_tree(tree_to_arrays(tree), tree)
    assert again.keys() == tree.keys() and isinstance(again["b"], tuple)
    np.testing.assert_array_equal(again["b"][0], [0, 1])
    np.testing.assert_array_equal(again["a"][0], np.ones((2, 2)))


def test_episodes_come_back_as_they_were():
    episodes = [EpisodeResult(0.1 + 0.2, 7, 28, 3, 1), EpisodeResult(-5.0, 2**40, 1)]
    assert arrays_to_episodes(episodes_to_arrays(episodes)) == episodes
    assert arrays_to_episodes(episodes_to_arrays([])) == []
    assert all(
        type(value) is int for value in arrays_to_episodes(episodes_to_arrays(episodes))[0][1:]
    )
