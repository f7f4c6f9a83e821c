"""Search at one observation."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mukoe.viewing.search_tree import SearchTree


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """Result of a search; a notebook shows its tree.

    action: selected action, as the environment takes it.
    value: value of the observation after the search, for the player to move.
    policy: `[A]` float, policy of the search.
    visits: `[A]` int, visit counts of the actions.
    line: names of the actions that the search expects from here on.
    tree: search tree.
    """

    action: Any
    value: float
    policy: np.ndarray
    visits: np.ndarray
    line: Sequence[str]
    tree: SearchTree = dataclasses.field(repr=False)
    _draw: Callable[[], str] = dataclasses.field(repr=False)

    def _repr_svg_(self) -> str:
        """Returns the drawing of the tree, which IPython shows."""
        return self._draw()
