"""Representation function `s_0 = h(o)`."""

import haiku as hk
import jax

from mukoe.errors import UserError
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import scale_pixels
from mukoe.networks.observation_statistics import NormalizedInput
from mukoe.networks.residual import residual_blocks
from mukoe.networks.state import finish_state, initial_lstm_state
from mukoe.networks.torsos import TORSOS


class Representation(hk.Module):
    """Representation function: torso, residual blocks, scaling."""

    def __init__(self, config: NetworkConfig, name: str):
        super().__init__(name=name)
        self._config = config

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Maps network inputs `[B, ...]` to states.

        Returns:
          `[B, h, w, width]` or `[B, width]`; with an LSTM `[B, 2 width]`.

        Raises:
          UserError: the features of the torso do not have `width` channels, which residual
            dynamics need.
        """
        config = self._config
        torso = TORSOS[config.torso](config)
        x = scale_pixels(inputs)
        if config.normalize_observations:
            x = NormalizedInput()(x)
        x = residual_blocks(torso(x), config.representation_blocks)
        if config.dynamics == "lstm":
            return initial_lstm_state(x, config.width)
        if x.shape[-1] != config.width:
            raise UserError(
                f"torso {config.torso!r} gives {x.shape[-1]} channels, and residual dynamics need "
                f"network.width={config.width}; set them equal"
            )
        return finish_state(x, config)
