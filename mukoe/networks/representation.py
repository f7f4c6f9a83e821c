"""Representation function `s_0 = h(o)`."""

import haiku as hk
import jax

from mukoe.errors import UserError
from mukoe.networks.config import NetworkConfig
from mukoe.networks.parts import torso_features
from mukoe.networks.residual import residual_blocks
from mukoe.networks.state import finish_state, initial_gru_state, initial_lstm_state
from mukoe.types import Nest


class Representation(hk.Module):
    """Representation function: torso, residual blocks, scaling."""

    def __init__(self, config: NetworkConfig, spec: Nest, name: str):
        """Builds the module.

        Args:
          config: architecture.
          spec: spec of one network input, an array or a nest of them.
          name: name of the module.
        """
        super().__init__(name=name)
        self._config = config
        self._spec = spec

    def __call__(self, inputs: Nest) -> jax.Array:
        """Maps network inputs `[B, ...]` to states.

        Returns:
          `[B, h, w, width]` or `[B, width]`; with an LSTM `[B, 2 width]`.

        Raises:
          UserError: the features of the torso do not have `width` channels, which dynamics that
            keep the shape of the features need.
        """
        config = self._config
        # Not in a method, whose name would be part of the names of parameters.
        x = torso_features(config, self._spec, inputs, config.normalize_observations)
        x = residual_blocks(x, config.representation_blocks)
        if config.dynamics == "lstm":
            return initial_lstm_state(x, config.width)
        if config.dynamics == "gru":
            return initial_gru_state(x, config.width)
        if x.shape[-1] != config.width:
            raise UserError(
                f"torso {config.torso!r} gives {x.shape[-1]} channels, and dynamics "
                f"{config.dynamics!r} need network.width={config.width}; set them equal"
            )
        return finish_state(x, config)
