"""Scalars as categorical distributions over a fixed support.

MuZero (Schrittwieser et al. 2020, arXiv:1911.08265, appendix F, "Network architecture")
predicts values and rewards as distributions over evenly spaced bins, after squashing them
with the invertible transform of Pohlen et al. (2018, arXiv:1805.11593, proposition A.2)

    h(x) = sign(x) (sqrt(|x| + 1) - 1) + eps x.

rlax has the same functions, and is the tests' oracle where it is exact. They are not used here
because, in float32, `rlax.signed_hyperbolic` and its inverse cancel near 0 (relative error 0.08
and 62 at 1e-6, here 3e-7); `rlax.transform_to_2hot` adds 1e-5 to the width of a bin, which
biases the mean by 1e-5; and `rlax.transform_from_2hot` needs a batch axis.
"""

import dataclasses
from typing import Annotated

import jax
import jax.numpy as jnp
from msgspec import Meta

from mukoe.configuration.fields import Validated
from mukoe.errors import UserError
from mukoe.shapes import check_shape
from mukoe.types import Array, PerBin

EPSILON = 1e-3
"""`eps` of h, which keeps its inverse Lipschitz (arXiv:1911.08265, appendix F)."""


def signed_hyperbolic(x: Array) -> jax.Array:
    """Returns h(x), computed without cancellation near 0."""
    magnitude = jnp.abs(x)
    return jnp.sign(x) * (magnitude / (jnp.sqrt(magnitude + 1.0) + 1.0) + EPSILON * magnitude)


def signed_parabolic(y: Array) -> jax.Array:
    """Returns the inverse of h at y.

    With `s = sqrt(1 + 4 eps (eps + 1 + |y|))` and `z = (s - 1) / (2 eps)` the inverse is
    `sign(y) (z^2 - 1)`. In float32 both differences lose most of their digits near 0. This
    computes `(z - 1) (z + 1)` with both subtractions solved analytically.
    """
    magnitude = jnp.abs(y)
    root = jnp.sqrt(1.0 + 4.0 * EPSILON * (EPSILON + 1.0 + magnitude))
    slope = (2.0 - 4.0 * EPSILON / (1.0 + 2.0 * EPSILON + root)) / (root + 1.0)
    z_minus_1 = magnitude * slope
    return jnp.sign(y) * z_minus_1 * (z_minus_1 + 2.0)


@dataclasses.dataclass(frozen=True)
class SupportConfig(Validated):
    """Bins of a categorical scalar; the defaults are MuZero's on Atari (appendix F)."""

    # The lowest bin, in transformed units where `hyperbolic`. Paper: -300.
    minimum: float = -300.0
    # The highest bin. Paper: 300.
    maximum: float = 300.0
    # Evenly spaced bins, both ends included. Paper: 601.
    num_bins: Annotated[int, Meta(ge=2)] = 601
    # Squash with h first. Paper: yes for Atari, no for board games.
    hyperbolic: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.minimum < self.maximum:
            raise UserError(
                "a support needs minimum < maximum, not "
                f"minimum {self.minimum} and maximum {self.maximum}"
            )


@dataclasses.dataclass(frozen=True)
class ValueEncoding:
    """Encoder of scalars as two-hot distributions over a support, and decoder of logits."""

    config: SupportConfig

    @property
    def num_bins(self) -> int:
        """Number of bins of a distribution."""
        return self.config.num_bins

    def to_probs(self, x: Array) -> PerBin:
        """Encodes scalars `[...]` as two-hot distributions `[..., bins]`.

        The two bins next to a scalar share the probability so that the mean is the scalar. A
        scalar outside of the support is encoded as the nearer end.
        """
        num_bins = self.config.num_bins
        position = jnp.clip(self._position(x), 0.0, num_bins - 1)
        distance = jnp.abs(position[..., None] - jnp.arange(num_bins))
        return jnp.maximum(1.0 - distance, 0.0)

    def is_outside(self, x: Array) -> jax.Array:
        """Returns whether scalars lie more than half a bin outside of the bins, bool `[...]`."""
        distance = jnp.abs(self._position(x) - (self.config.num_bins - 1) / 2)
        return distance > self.config.num_bins / 2

    def to_scalar(self, logits: PerBin) -> jax.Array:
        """Decodes logits `[..., bins]` to the scalar `[...]` of the mean bin.

        Raises:
          UserError: the last axis has another length than the support.
        """
        config = self.config
        check_shape("logits of a value support", logits, (*logits.shape[:-1], config.num_bins))
        support = jnp.linspace(config.minimum, config.maximum, config.num_bins)
        # A sum and not a dot product: accelerators round the inputs of the latter.
        mean = jnp.sum(jax.nn.softmax(logits) * support, axis=-1)
        return signed_parabolic(mean) if config.hyperbolic else mean

    def _position(self, x: Array) -> jax.Array:
        """Returns positions `[...]` on the axis of bins, negative below the lowest bin."""
        config = self.config
        x = jnp.asarray(x, jnp.float32)
        scaled = signed_hyperbolic(x) if config.hyperbolic else x
        bins_per_unit = (config.num_bins - 1) / (config.maximum - config.minimum)
        return (scaled - config.minimum) * bins_per_unit
