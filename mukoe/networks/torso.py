"""Interface of torsos, see `mukoe.networks.torsos`."""

from typing import ClassVar, Protocol

import jax

VECTOR, SEQUENCE, IMAGE = 1, 2, 3
"""Values of `Torso.input_rank`."""


class TorsoConfig(Protocol):
    """Fields of an agent's network configuration that torsos read.

    hidden_sizes: widths of hidden layers; `impala`: channels of the stages;
        torsos with attention: widths of the hidden layers of the blocks, one block each.
    width: number of channels of the features.
    """

    @property
    def hidden_sizes(self) -> tuple[int, ...]: ...
    @property
    def width(self) -> int: ...


class Torso(Protocol):
    """Network from inputs to features, built inside a Haiku transform.

    input_rank: number of axes of an input: 1 (vectors, and single numbers), 2 (sequences),
        3 (images), None (any).
    least_size: least height and width of an image.
    """

    input_rank: ClassVar[int | None]
    least_size: ClassVar[int]

    def __init__(self, config: TorsoConfig, name: str | None = None):
        """Builds the torso.

        Args:
          config: configuration of the agent's network.
          name: name of the module; None for the default name.
        """

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps inputs `[B, ...]` float32 to features `[B, width]` or `[B, h, w, width]`."""
        ...
