"""Learned states: scaling, first states of an LSTM or GRU, the two halves of an LSTM's state."""

import haiku as hk
import jax
import jax.numpy as jnp

from mukoe.networks.config import NetworkConfig


def scale_state(state: jax.Array) -> jax.Array:
    """Scales each example to [0, 1]: `(s - min s) / (max s - min s)`.

    As in the paper (arXiv:1911.08265, appendix G) minimum and maximum are those of the
    whole state, all positions and channels together. A constant state becomes zero.
    """
    axes = tuple(range(1, state.ndim))
    low = jnp.min(state, axis=axes, keepdims=True)
    high = jnp.max(state, axis=axes, keepdims=True)
    return (state - low) / jnp.maximum(high - low, 1e-5)


def finish_state(x: jax.Array, config: NetworkConfig) -> jax.Array:
    """Scales a state if `config.scale_hidden_state` is set."""
    return scale_state(x) if config.scale_hidden_state else x


def initial_lstm_state(features: jax.Array, width: int) -> jax.Array:
    """Maps features `[B, ...]` to an LSTM's state `[B, 2 width]`, with the output within ±1."""
    state = hk.Linear(2 * width, name="initial_state")(hk.Flatten()(jax.nn.relu(features)))
    output, cell = jnp.split(state, 2, axis=-1)
    return jnp.concatenate([jnp.tanh(output), cell], axis=-1)


def initial_gru_state(features: jax.Array, width: int) -> jax.Array:
    """Maps features `[B, ...]` to a GRU's state `[B, width]`, within ±1."""
    return jnp.tanh(hk.Linear(width, name="initial_state")(hk.Flatten()(jax.nn.relu(features))))


def lstm_output(state: jax.Array) -> jax.Array:
    """Returns the output half `[B, width]` of an LSTM's state `[B, 2 width]`."""
    return jnp.split(state, 2, axis=-1)[0]
