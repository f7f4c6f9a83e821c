"""Dynamics function `s', r = g(s, a)`: residual blocks, an LSTM, a GRU or transformer blocks."""

from collections.abc import Callable, Mapping

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from mukoe.errors import UserError
from mukoe.networks.action_encoding import action_features
from mukoe.networks.action_space import ActionSpace
from mukoe.networks.attention import HEADS, attention_block
from mukoe.networks.config import NetworkConfig
from mukoe.networks.heads import make_player_head
from mukoe.networks.residual import layer, residual_blocks
from mukoe.networks.state import finish_state

_QUARTERS = 4


class _Dynamics(hk.Module):
    """Base class of dynamics; their layers are made in `__call__`."""

    def __init__(
        self,
        config: NetworkConfig,
        action_space: ActionSpace,
        name: str,
        num_players: int | None = None,
    ):
        super().__init__(name=name)
        self._config = config
        self._action_space = action_space
        self._num_players = num_players


class ResidualDynamics(_Dynamics):
    """Residual dynamics: the action is added to the state, residual blocks follow."""

    def __call__(self, state: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps states `[B, ..., width]` and actions to next states and logits `[B, bins]`."""
        config = self._config
        state = optax.scale_gradient(state, config.dynamics_gradient_scale)
        features = action_features(action, self._action_space, state, config.action_encoding)
        next_state = transition(state, features, config, "action_input")
        return next_state, _reward_head(config, self._num_players)(next_state)


class LSTMDynamics(_Dynamics):
    """An LSTM whose input is the action (Muesli, arXiv:2104.06159)."""

    def __call__(self, state: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps `[B, 2 width]` and actions to `[B, 2 width]` and logits `[B, bins]`."""
        config = self._config
        state = optax.scale_gradient(state, config.dynamics_gradient_scale)
        output, cell = jnp.split(state, 2, axis=-1)
        core = hk.LSTM(config.width)
        vector = self._action_space.encode(action, state.dtype)
        _, next_state = core(vector, hk.LSTMState(output, cell))
        both = jnp.concatenate([next_state.hidden, next_state.cell], axis=-1)
        return both, _reward_head(config, self._num_players)(next_state.hidden)


class GRUDynamics(_Dynamics):
    """A GRU whose input is the action, as `LSTMDynamics`."""

    def __call__(self, state: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps `[B, width]` and actions to `[B, width]` and logits `[B, bins]`."""
        config = self._config
        state = optax.scale_gradient(state, config.dynamics_gradient_scale)
        vector = self._action_space.encode(action, state.dtype)
        _, next_state = hk.GRU(config.width)(vector, state)
        return next_state, _reward_head(config, self._num_players)(next_state)


class TransformerDynamics(_Dynamics):
    """Transformer dynamics: adds the action to each place of the state; the places attend to all.

    The tokens are the places of a spatial state, or the quarters of a vector.
    """

    def __call__(self, state: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps states `[B, ..., width]` and actions to next states and logits `[B, bins]`.

        Raises:
          UserError: a vector cannot be divided into quarters with two heads each.
        """
        config = self._config
        state = optax.scale_gradient(state, config.dynamics_gradient_scale)
        features = action_features(action, self._action_space, state, config.action_encoding)
        x = jnp.concatenate([state, features], axis=-1)
        x = state + hk.Linear(config.width, name="action_input")(x)
        if state.ndim == 2 and config.width % (_QUARTERS * HEADS):
            raise UserError(
                f"network.width ({config.width}) must be a multiple of {_QUARTERS * HEADS} with "
                "network.dynamics='transformer', whose tokens are the quarters of the state"
            )
        size = config.width if state.ndim == 4 else config.width // _QUARTERS
        tokens = jnp.reshape(x, (state.shape[0], -1, size))
        initial = hk.initializers.TruncatedNormal(0.1)
        tokens = tokens + hk.get_parameter("positions", tokens.shape[1:], init=initial)
        for _ in range(config.dynamics_blocks):
            tokens = attention_block(tokens, 2 * size)
        next_state = finish_state(jnp.reshape(tokens, state.shape), config)
        return next_state, _reward_head(config, self._num_players)(next_state)


DYNAMICS: Mapping[str, Callable[..., Callable]] = {
    "residual": ResidualDynamics,
    "lstm": LSTMDynamics,
    "gru": GRUDynamics,
    "transformer": TransformerDynamics,
}
"""Dynamics by the name that `NetworkConfig.dynamics` gives them."""


def _reward_head(
    config: NetworkConfig, num_players: int | None
) -> Callable[[jax.Array], jax.Array]:
    """Makes the head with logits `[B, bins]`, or `[B, P, bins]`, within a Haiku module."""
    return make_player_head(config.reward_support.num_bins, num_players, config, "reward_head")


def transition(
    state: jax.Array, features: jax.Array, config: NetworkConfig, name: str
) -> jax.Array:
    """Returns the next state of residual dynamics, within a Haiku module.

    Args:
      state: `[B, ..., width]`.
      features: `[B, ..., F]` encoding of an action or a chance outcome; see `action_features`.
      config: network configuration.
      name: name of the layer on state and features.
    """
    x = jnp.concatenate([state, features], axis=-1)
    x = state + layer(config.width, state.ndim == 4, name)(x)
    return finish_state(residual_blocks(x, config.dynamics_blocks), config)
