"""Augmentation of images (EfficientZero, arXiv:2111.00210; DrQ, arXiv:2004.13649)."""

import dataclasses
from typing import Annotated

import chex
import jax
import jax.numpy as jnp
from msgspec import Meta

from mukoe.configuration.bounds import LONGEST_SIDE, UnitInterval
from mukoe.configuration.fields import Validated
from mukoe.networks.history import scale_pixels
from mukoe.types import Array, Nest

_UNROLLED_IMAGES = 5  # Axes of [B, S, H, W, C].
_LARGEST_DEVIATION = 2.0


@dataclasses.dataclass(frozen=True)
class ImageAugmentationConfig(Validated):
    """Random changes of the images that the loss reads; targets are made from unchanged ones."""

    # Largest shift in pixels, along each axis; edges are repeated. EfficientZero: 4 of 96.
    shift: Annotated[int, Meta(ge=0, le=LONGEST_SIDE)] = 0
    # Scale of the factor 1 + intensity · clip(N(0, 1), -2, 2). EfficientZero: 0.05.
    intensity: UnitInterval = 0.0


@dataclasses.dataclass(frozen=True)
class AugmentationConfig(ImageAugmentationConfig):
    """Random changes of images, and of the boards of games."""

    # Random symmetry of the board, for games that have some; observations, actions and policies of
    # a sequence are changed alike.
    symmetries: bool = False


def augment(
    inputs: Nest, key: chex.PRNGKey, config: ImageAugmentationConfig, alike: bool = False
) -> Nest:
    """Returns the network inputs of unrolls with a random shift and intensity.

    The frames of one input are changed alike. Images of choices (int8) are not changed.

    Args:
      inputs: `[B, S, ...]` network inputs; those that are no images `[B, S, H, W, C]` are
        returned as they are.
      key: random key.
      config: sizes of the changes.
      alike: True to change the `S` inputs of an unroll alike, False to draw changes for each.
    """
    return jax.tree.map(lambda array: _augment(jnp.asarray(array), key, config, alike), inputs)


def _augment(
    inputs: jax.Array, key: chex.PRNGKey, config: ImageAugmentationConfig, alike: bool
) -> jax.Array:
    if inputs.ndim != _UNROLLED_IMAGES or inputs.dtype == jnp.int8:
        return inputs
    batch, steps = inputs.shape[0], 1 if alike else inputs.shape[1]
    shift_key, intensity_key = jax.random.split(key)
    if config.shift:
        shifts = jax.random.randint(shift_key, (batch, steps, 2), -config.shift, config.shift + 1)
        inputs = shift_images(inputs, jnp.broadcast_to(shifts, (*inputs.shape[:2], 2)))
    if config.intensity:
        deviation = jax.random.normal(intensity_key, (batch, steps, 1, 1, 1))
        deviation = jnp.clip(deviation, -_LARGEST_DEVIATION, _LARGEST_DEVIATION)
        inputs = scale_pixels(inputs) * (1.0 + config.intensity * deviation)
    return inputs


def shift_images(images: Array, shifts: Array) -> jax.Array:
    """Shifts images towards the upper left, repeating the edges.

    Args:
      images: `[..., H, W, C]`.
      shifts: `[..., 2]` int32, rows and columns.
    """
    height, width, channels = images.shape[-3:]
    rows = jnp.clip(jnp.arange(height) + shifts[..., :1], 0, height - 1)
    columns = jnp.clip(jnp.arange(width) + shifts[..., 1:], 0, width - 1)
    # With one batch axis, XLA's gather is several times as fast on CPUs as with two.
    shifted = jax.vmap(lambda image, rows, columns: image[rows][:, columns])(
        jnp.reshape(images, (-1, height, width, channels)),
        rows.reshape(-1, height),
        columns.reshape(-1, width),
    )
    return shifted.reshape(images.shape)
