"""Pre-activation residual blocks with layer normalisation.

Version 2 of the residual block (He et al. 2016, arXiv:1603.05027), with layer instead of
batch normalisation as in MuZero Unplugged (Schrittwieser et al. 2021, arXiv:2104.06294,
appendix A), so that the networks have no state but their parameters. One class serves
feature maps `[B, H, W, C]` (3x3 convolutions) and vectors `[B, C]` (linear layers).
"""

from collections.abc import Callable

import haiku as hk
import jax
import jax.numpy as jnp


def layer_norm(x: jax.Array) -> jax.Array:
    """Normalises each example over all of its features; scale and offset are per channel.

    Moments are computed in float32, the result has the type of `x`.
    """
    features = tuple(range(1, x.ndim))
    norm = hk.LayerNorm(features, create_scale=True, create_offset=True, param_axis=-1)
    return norm(x.astype(jnp.float32)).astype(x.dtype)


def layer(width: int, spatial: bool, name: str | None = None) -> Callable[[jax.Array], jax.Array]:
    """Returns a 3x3 convolution for feature maps, a linear layer for vectors."""
    return hk.Conv2D(width, 3, name=name) if spatial else hk.Linear(width, name=name)


class ResidualBlock(hk.Module):
    """`x + layer(relu(norm(layer(relu(norm(x))))))`, of the width of its input."""

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps feature maps `[B, H, W, C]` or vectors `[B, C]` to the same shape."""
        y = x
        for _ in range(2):
            y = jax.nn.relu(layer_norm(y))
            y = layer(x.shape[-1], spatial=x.ndim == 4)(y)
        return x + y


def residual_blocks(x: jax.Array, num_blocks: int) -> jax.Array:
    """Applies `num_blocks` new blocks one after the other."""
    for _ in range(num_blocks):
        x = ResidualBlock()(x)
    return x
