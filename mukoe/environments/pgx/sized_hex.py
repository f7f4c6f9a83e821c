"""Hex of any size: pgx starts every game with a board and a mask of 11x11."""

from typing import Any

import chex
import jax.numpy as jnp
from pgx.hex import Hex


class SizedHex(Hex):
    """Hex of pgx, whose initial position has the size of the board."""

    def _init(self, key: chex.PRNGKey) -> Any:
        start: Any = super()._init(key)
        cells = self.size**2
        board = jnp.zeros(cells, start._x.board.dtype)
        legal = jnp.ones(cells + 1, bool).at[-1].set(False)
        return start.replace(_x=start._x._replace(board=board), legal_action_mask=legal)
