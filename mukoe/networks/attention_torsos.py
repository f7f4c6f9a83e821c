"""Torsos with self-attention, in pre-norm blocks (Xiong et al. 2020, arXiv:2002.04745).

`patch_transformer`   `[H, W, C]` of any size: patches as tokens (Dosovitskiy et al. 2021,
                      arXiv:2010.11929). The tokens are the places of a spatial state.
`residual_attention`  `[H, W, C]` of any size: convolutions and residual blocks, which halve the
                      image until it has few places, then residual blocks whose places attend to
                      each other (Zambaldi et al. 2019, Relational Deep Reinforcement Learning).
`entity_transformer`  sequences `[L, 1 + D]`, whose first number marks entries that are not padding:
                      entries as tokens.

The number of blocks of attention is that of the hidden sizes, which are the widths of their hidden
layers. Positions are learned. Entries, patches or places are at most a few hundred: the cost of
attention grows with the square of their number.
"""

from typing import ClassVar

import haiku as hk
import jax
import jax.numpy as jnp

from mukoe.networks.attention import attention_block, token_norm
from mukoe.networks.residual import residual_blocks
from mukoe.networks.torso import IMAGE, SEQUENCE, TorsoConfig

_MOST_PLACES = 8
"""Greatest height and width of a grid of places."""


class PatchTransformerTorso(hk.Module):
    """Blocks of attention over square patches, at most 8 x 8 of them.

    The side of a patch is an eighth of the larger side of the image, rounded up: 12 pixels of
    96x96, one cell of an 8x8 board. Zeros are added at the lower and right edges.
    """

    input_rank: ClassVar[int | None] = IMAGE
    least_size: ClassVar[int] = 1

    def __init__(self, config: TorsoConfig, name: str | None = None):
        super().__init__(name=name)
        self._config = config

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, H, W, C]` to `[B, h, w, width]`, one place for each patch."""
        batch_size, height, width, channels = x.shape
        side = -(-max(height, width) // _MOST_PLACES)
        rows, columns = -(-height // side), -(-width // side)
        padding = (rows * side - height, columns * side - width)
        x = jnp.pad(x, ((0, 0), (0, padding[0]), (0, padding[1]), (0, 0)))
        x = jnp.reshape(x, (batch_size, rows, side, columns, side, channels))
        patches = jnp.swapaxes(x, 2, 3).reshape(batch_size, rows, columns, -1)
        x = _with_positions(hk.Linear(self._config.width, name="patches")(patches))
        for size in self._config.hidden_sizes:
            x = _spatial_attention(x, size)
        return token_norm(x, "output_norm")


class ResidualAttentionTorso(hk.Module):
    """Residual blocks on at most 8 x 8 places, each followed by a block of attention.

    A convolution with stride 2 and a residual block halve the image as often as it takes; a
    smaller image has one convolution with stride 1 and a residual block. All kernels are 3x3.
    """

    input_rank: ClassVar[int | None] = IMAGE
    least_size: ClassVar[int] = 1

    def __init__(self, config: TorsoConfig, name: str | None = None):
        super().__init__(name=name)
        self._config = config

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, H, W, C]` to `[B, h, w, width]` of at most 8 x 8 places."""
        is_small = max(x.shape[1:3]) <= _MOST_PLACES
        x = hk.Conv2D(self._config.width, 3, stride=1 if is_small else 2)(x)
        x = residual_blocks(x, 1)
        while max(x.shape[1:3]) > _MOST_PLACES:
            x = hk.Conv2D(self._config.width, 3, stride=2)(x)
            x = residual_blocks(x, 1)
        x = _with_positions(x)
        for size in self._config.hidden_sizes:
            x = _spatial_attention(residual_blocks(x, 1), size)
        return x


class EntityTransformerTorso(hk.Module):
    """Blocks of attention over the entries of a sequence of bounded length, then their mean.

    No entry attends to padding, and the mean is over entries alone, so that a longer padding
    changes nothing.
    """

    input_rank: ClassVar[int | None] = SEQUENCE
    least_size: ClassVar[int] = 1

    def __init__(self, config: TorsoConfig, name: str | None = None):
        super().__init__(name=name)
        self._config = config

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, L, 1 + D]`, where `x[..., 0]` is 1 for entries and 0 for padding."""
        mask = x[..., 0]
        x = _with_positions(hk.Linear(self._config.width, name="entities")(x))
        for size in self._config.hidden_sizes:
            x = attention_block(x, size, mask)
        x = token_norm(x, "output_norm") * mask[..., None]
        mean = jnp.sum(x, axis=1) / jnp.maximum(jnp.sum(mask, axis=1, keepdims=True), 1.0)
        return hk.Linear(self._config.width, name="mean")(mean)


def _with_positions(x: jax.Array) -> jax.Array:
    """Adds a learned vector to each place of `[B, ..., D]`."""
    initial = hk.initializers.TruncatedNormal(0.1)
    return x + hk.get_parameter("positions", x.shape[1:], init=initial)


def _spatial_attention(x: jax.Array, hidden_size: int) -> jax.Array:
    """Applies a block of attention over the places of `[B, h, w, D]`."""
    tokens = jnp.reshape(x, (x.shape[0], -1, x.shape[-1]))
    return jnp.reshape(attention_block(tokens, hidden_size), x.shape)
