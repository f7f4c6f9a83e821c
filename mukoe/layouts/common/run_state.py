"""The state of a run of one process as named arrays, for its checkpoint."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np

from mukoe.types import EpisodeResult, Nest

NamedArrays = dict[str, np.ndarray]
"""Arrays by name; names of a part's arrays begin with the name of the part."""


def pack(**parts: Mapping[str, np.ndarray]) -> NamedArrays:
    """Returns the arrays of several parts in one mapping, as `part/name`."""
    return {
        f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()
    }


def unpack(arrays: Mapping[str, np.ndarray], part: str) -> NamedArrays:
    """Returns the arrays of one part of a packed mapping; empty if it has none."""
    prefix = f"{part}/"
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def tree_to_arrays(tree: Nest) -> NamedArrays:
    """Returns the leaves of a tree, each named by its index."""
    return {str(index): np.asarray(leaf) for index, leaf in enumerate(jax.tree.leaves(tree))}


def arrays_to_tree(arrays: Mapping[str, np.ndarray], like: Nest) -> Nest:
    """Inverts `tree_to_arrays` for a tree with the structure of `like`."""
    structure = jax.tree.structure(like)
    return structure.unflatten([arrays[str(index)] for index in range(structure.num_leaves)])


def episodes_to_arrays(episodes: Sequence[EpisodeResult]) -> NamedArrays:
    """Returns the fields of `N` episodes by name, each `[N]` float64."""
    return {
        name: np.array([getattr(episode, name) for episode in episodes], np.float64)
        for name in EpisodeResult._fields
    }


def arrays_to_episodes(arrays: Mapping[str, np.ndarray]) -> list[EpisodeResult]:
    """Inverts `episodes_to_arrays`."""
    columns = [arrays[name].tolist() for name in EpisodeResult._fields]
    return [
        EpisodeResult(value, *map(int, counts)) for value, *counts in zip(*columns, strict=True)
    ]
