"""Actions as inputs of the dynamics network."""

import jax
import jax.numpy as jnp
from dm_env import specs

from mukoe.errors import UserError
from mukoe.networks.action_space import ActionSpace
from mukoe.networks.config import NetworkConfig
from mukoe.types import Nest


def action_features(
    action: jax.Array, action_space: ActionSpace, state: jax.Array, encoding: str
) -> jax.Array:
    """Returns the encoding of actions that is concatenated to a state.

    Args:
      action: `[B, ...]` actions.
      action_space: encoder of actions as vectors `[B, E]`.
      state: `[B, h, w, width]` or `[B, width]`.
      encoding: `NetworkConfig.action_encoding`, for spatial states.

    Returns:
      Planes `[B, h, w, E or 1]` for spatial states, vectors `[B, E]` otherwise.
    """
    vector = action_space.encode(action, state.dtype)
    if state.ndim == 2:
        return vector
    batch, height, width = state.shape[:3]
    if encoding == "cell":
        return vector[:, : height * width].reshape(batch, height, width, 1)
    if encoding == "column":
        return jnp.broadcast_to(vector[:, None, :, None], (batch, height, width, 1))
    return jnp.broadcast_to(vector[:, None, None, :], (batch, height, width, vector.shape[-1]))


def check_action_encoding(config: NetworkConfig, spec: Nest, num_actions: int) -> None:
    """Checks that each action has a cell or column in the state.

    Args:
      config: torso and action encoding.
      spec: spec of one network input, without the batch axis.
      num_actions: `A`.

    Raises:
      UserError: the board has another number of cells or columns, or the state is no board.
    """
    if config.action_encoding == "planes":
        return
    if config.torso != "board" or not isinstance(spec, specs.Array):
        raise UserError(
            f"action_encoding {config.action_encoding!r} needs torso 'board', whose state has the "
            f"cells of the board, not {config.torso!r}"
        )
    height, width = spec.shape[:2]
    cells = height * width
    fitting = (width,) if config.action_encoding == "column" else (cells, cells + 1)
    if num_actions not in fitting:
        raise UserError(
            f"action_encoding {config.action_encoding!r} on a {height}x{width} board takes "
            f"{' or '.join(map(str, fitting))} actions, not {num_actions}; use 'planes'"
        )
