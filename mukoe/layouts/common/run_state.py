"""A whole run of one process as named arrays, for its checkpoint."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np

from mukoe.types import EpisodeResult, Nest

Parts = dict[str, np.ndarray]
"""Arrays by name; the names of a part begin with its own."""


def pack(**parts: Mapping[str, np.ndarray]) -> Parts:
    """Puts the arrays of several parts into one mapping, as `part/name`."""
    return {
        f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()
    }


def unpack(parts: Mapping[str, np.ndarray], part: str) -> Parts:
    """Returns the arrays of one part of what `pack` returned, none where it had none."""
    prefix = f"{part}/"
    return {
        name.removeprefix(prefix): array for name, array in parts.items() if name.startswith(prefix)
    }


def tree_arrays(tree: Nest) -> Parts:
    """Returns the leaves of a tree by number."""
    return {str(index): np.asarray(leaf) for index, leaf in enumerate(jax.tree.leaves(tree))}


def tree_of(arrays: Mapping[str, np.ndarray], like: Nest) -> Nest:
    """Puts the leaves that `tree_arrays` returned into the structure of `like`."""
    structure = jax.tree.structure(like)
    return structure.unflatten([arrays[str(index)] for index in range(structure.num_leaves)])


def episode_arrays(episodes: Sequence[EpisodeResult]) -> Parts:
    """Returns the fields of `N` episodes, each `[N]` float64."""
    return {
        name: np.array([getattr(episode, name) for episode in episodes], np.float64)
        for name in EpisodeResult._fields
    }


def episodes_of(arrays: Mapping[str, np.ndarray]) -> list[EpisodeResult]:
    """Returns the episodes that `episode_arrays` took."""
    columns = [arrays[name].tolist() for name in EpisodeResult._fields]
    return [
        EpisodeResult(value, *map(int, counts)) for value, *counts in zip(*columns, strict=True)
    ]
