"""Heads: from a state to logits."""

from collections.abc import Callable, Sequence

import haiku as hk
import jax
import jax.numpy as jnp

from mukoe.networks.config import NetworkConfig
from mukoe.networks.residual import layer_norm


class Head(hk.Module):
    """A small network with a last layer of zeros.

    Spatial states pass a 1x1 convolution to few channels first. With the last
    layer at zero policies start uniform, values and rewards in the middle of their support.
    """

    def __init__(
        self,
        num_outputs: int,
        channels: int,
        hidden_sizes: Sequence[int],
        name: str | None = None,
    ):
        super().__init__(name=name)
        self._num_outputs = num_outputs
        self._channels = channels
        self._hidden_sizes = hidden_sizes

    def __call__(self, state: jax.Array) -> jax.Array:
        """Maps a state `[B, H, W, C]` or `[B, C]` to logits `[B, num_outputs]`."""
        x = jax.nn.relu(layer_norm(state))
        if state.ndim == 4:
            x = jax.nn.relu(layer_norm(hk.Conv2D(self._channels, 1)(x)))
            x = hk.Flatten()(x)
        for size in self._hidden_sizes:
            x = jax.nn.relu(hk.Linear(size)(x))
        return hk.Linear(self._num_outputs, w_init=jnp.zeros)(x)


def make_head(num_outputs: int, config: NetworkConfig, name: str) -> Head:
    """Makes a head with the channels and hidden layers of `config`."""
    return Head(num_outputs, config.head_channels, config.head_sizes, name)


def make_player_head(
    num_bins: int, num_players: int | None, config: NetworkConfig, name: str
) -> Callable[[jax.Array], jax.Array]:
    """Makes a head with logits `[B, bins]`, or `[B, P, bins]` of several players."""
    if num_players is None:
        return make_head(num_bins, config, name)
    head = make_head(num_players * num_bins, config, name)
    return lambda state: head(state).reshape(-1, num_players, num_bins)
