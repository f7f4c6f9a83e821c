"""Reflections of boards that are symmetries of a game."""

import numpy as np

from mukoe.environments.pgx.games import GO_SIZES
from mukoe.types import EnvironmentSpec, split_legal_actions

_SQUARE = ("tic_tac_toe", "othello", *GO_SIZES)
"""Games with one action per cell, row by row; a further one, to pass, does not change."""


def mirrored_actions(game: str, spec: EnvironmentSpec) -> tuple[int, ...] | None:
    """Returns the action `[A]` that corresponds to each action in the mirrored position.

    The reflection reverses the axis `W` of the features `[H, W, C]`. None for games of which it is
    no symmetry, such as Hex and chess.

    Args:
      game: key of the game in `PGX_GAMES`.
      spec: specs of one environment.
    """
    features, _ = split_legal_actions(spec.observations)
    num_actions = int(spec.actions.num_values)
    if game == "connect_four":
        return tuple(range(num_actions))[::-1]
    if game not in _SQUARE:
        return None
    rows, columns, _ = features.shape
    cells = np.arange(rows * columns).reshape(rows, columns)[:, ::-1].ravel()
    return (*cells.tolist(), *range(rows * columns, num_actions))
