"""Observations of several parts: a torso for each, and their combination.

`concatenate`  the features of all parts, and a linear layer.
`sum`          the sum of the features, each of which has a linear layer.
`attention`    the features are tokens: one block of self-attention, and their mean.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Literal, Protocol

import haiku as hk
import jax
import jax.numpy as jnp
from dm_env import specs

from mukoe.configuration.fields import Validated
from mukoe.networks.attention import attention_block
from mukoe.networks.inputs import encode_input, named_parts, torso_names
from mukoe.networks.observation_statistics import NormalizedInput
from mukoe.networks.precision import Precision, to_precision
from mukoe.networks.torso import TorsoConfig
from mukoe.networks.torsos import TORSOS
from mukoe.types import Nest


@dataclasses.dataclass(frozen=True)
class PartsConfig(Validated):
    """Torsos of an observation of several parts, and their combination."""

    # Torso of each part by its name, such as `mission`; a part without one gets `torso` if that
    # takes it, otherwise 'mlp' for vectors, 'sequence' for texts and sequences, and 'nature_norm',
    # 'small' or 'grid' for images, the first that takes its size.
    torsos: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)
    # Combination of the parts' features: 'concatenate', 'sum', or 'attention' over the parts.
    combination: Literal["concatenate", "sum", "attention"] = "concatenate"

    def __post_init__(self) -> None:
        super().__post_init__()
        for torso in self.torsos.values():
            TORSOS[torso]  # Raises for an unknown name.


class PartedTorsoConfig(TorsoConfig, Protocol):
    """Fields of an agent's network configuration that `PartsTorso` reads.

    torso: name of the torso of the parts that it takes.
    parts: torsos and combination of the parts.
    precision: type in which layers compute.
    """

    @property
    def torso(self) -> str: ...
    @property
    def parts(self) -> PartsConfig: ...
    @property
    def precision(self) -> Precision: ...


def torso_features(
    config: PartedTorsoConfig, spec: Nest, inputs: Nest, normalized: bool = False
) -> jax.Array:
    """Returns the features of the torso, or of the torsos of the parts, within a Haiku module.

    Args:
      config: configuration of the agent's network.
      spec: spec of one network input, an array or a nest of them.
      inputs: network inputs `[B, ...]`.
      normalized: normalisation of an array by running statistics.
    """
    if not isinstance(spec, specs.Array):
        return PartsTorso(config, spec)(inputs)
    torso = TORSOS[config.torso](config)
    x = encode_input(inputs, spec)
    if normalized:
        x = NormalizedInput()(x)
    return torso(to_precision(x, config.precision))


class PartsTorso(hk.Module):
    """Torso for each part of a nest, and their combination to a vector."""

    def __init__(self, config: PartedTorsoConfig, spec: Nest, name: str | None = None):
        """Builds the module.

        Args:
          config: configuration of the agent's network.
          spec: nest of specs of one network input.
          name: name of the module; None for the default name.
        """
        super().__init__(name=name)
        self._config = config
        self._specs = named_parts(spec)
        self._torsos = torso_names(config.torso, config.parts.torsos, spec)

    def __call__(self, inputs: Nest) -> jax.Array:
        """Maps a nest of arrays `[B, ...]` to `[B, width]`."""
        config = self._config
        features = []
        for part, x in named_parts(inputs).items():
            spec, module = self._specs[part], re.sub(r"\W", "_", part)
            x = to_precision(encode_input(x, spec), config.precision)
            torso = TORSOS[self._torsos[part]](config, f"part_{module}")
            x = torso(x if x.ndim > 1 else x[:, None])
            x = hk.Linear(config.width, name=f"features_{module}")(hk.Flatten()(jax.nn.relu(x)))
            features.append(x)
        if config.parts.combination == "concatenate":
            x = jax.nn.relu(jnp.concatenate(features, axis=-1))
            return hk.Linear(config.width, name="combination")(x)
        if config.parts.combination == "sum":
            return sum(features[1:], start=features[0])
        return jnp.mean(attention_block(jnp.stack(features, axis=1), 2 * config.width), axis=1)
