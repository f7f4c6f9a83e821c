"""Symmetries of boards: images of positions and of actions."""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from mukoe.types import Array, BoardArray, EnvironmentSpec, split_legal_actions


class Symmetry(NamedTuple):
    """A map of the board onto itself that keeps the rules.

    transposed: True to exchange rows and columns, before they are reversed.
    reversed_rows: True for the image upside down.
    reversed_columns: True for the mirror image, left to right.
    actions: image `[A]` of each action.
    """

    transposed: bool
    reversed_rows: bool
    reversed_columns: bool
    actions: tuple[int, ...]

    def image(self, boards: Array) -> Array:
        """Returns the images of boards `[..., H, W, C]`."""
        boards = jnp.swapaxes(boards, -3, -2) if self.transposed else boards
        boards = boards[..., ::-1, :, :] if self.reversed_rows else boards
        return boards[..., ::-1, :] if self.reversed_columns else boards


_SQUARE = [(t, r, c) for t, r, c in itertools.product([False, True], repeat=3)]
_GROUPS: Mapping[str, list[tuple[bool, bool, bool]]] = {
    "mirror": [(False, False, False), (False, False, True)],
    "half_turn": [(False, False, False), (False, True, True)],
    "square": _SQUARE,
    "directions": _SQUARE,
}
_NEIGHBOURS = (3, 1, 5, 7)
"""Cells to the left of the centre of 3x3 cells, above, to the right and below."""


def board_symmetries(spec: EnvironmentSpec) -> tuple[Symmetry, ...]:
    """Returns the symmetries of a game, of which the first one changes nothing.

    Without a `BoardArray` in the spec there are none, `()`.
    """
    features, _ = split_legal_actions(spec.observations)
    if not isinstance(features, BoardArray):
        return ()
    num_actions = int(spec.actions.num_values)
    return tuple(
        Symmetry(*maps, _action_images(features, num_actions, *maps))
        for maps in _GROUPS[features.symmetries]
    )


def _action_images(
    board: BoardArray, num_actions: int, transposed: bool, rows: bool, columns: bool
) -> tuple[int, ...]:
    """Returns the images of actions, which are cells, or columns; others do not change."""
    if board.symmetries == "directions":
        images = _cell_images(3, 3, transposed, rows, columns)
        return tuple(_NEIGHBOURS.index(images[cell]) for cell in _NEIGHBOURS)
    height, width = board.shape[:2]
    images = np.arange(num_actions)
    if num_actions < height * width:
        assert not transposed and not rows, "columns are mirrored only"
        images[:width] = images[:width][:: -1 if columns else 1]
    else:
        images[: height * width] = _cell_images(height, width, transposed, rows, columns)
    return tuple(images.tolist())


def _cell_images(
    height: int, width: int, transposed: bool, rows: bool, columns: bool
) -> np.ndarray:
    """Returns the images `[H W]` of cells, which are numbered row by row."""
    cells = np.arange(height * width).reshape(height, width, 1)
    return np.argsort(np.ravel(Symmetry(transposed, rows, columns, ()).image(cells)))
