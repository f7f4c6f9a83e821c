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
_NEIGHBOURS = ((1, 0), (0, 1), (1, 2), (2, 1))
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
        return _direction_images(transposed, rows, columns)
    height, width = board.shape[:2]
    images = np.arange(num_actions)
    if num_actions < height * width:
        assert not transposed and not rows, "columns are mirrored only"
        images[:width] = images[:width][:: -1 if columns else 1]
        return tuple(images.tolist())
    cells = np.arange(height * width).reshape(height, width, 1)
    moved = np.asarray(Symmetry(transposed, rows, columns, ()).image(cells)).ravel()
    images[moved] = np.arange(height * width)
    return tuple(images.tolist())


def _direction_images(transposed: bool, rows: bool, columns: bool) -> tuple[int, ...]:
    cells = np.arange(9).reshape(3, 3, 1)
    moved = np.asarray(Symmetry(transposed, rows, columns, ()).image(cells))[..., 0]
    return tuple(
        _NEIGHBOURS.index(tuple(np.argwhere(moved == cells[neighbour])[0].tolist()))
        for neighbour in _NEIGHBOURS
    )
