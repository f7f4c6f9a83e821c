"""Policies as distributions over actions: one of `A` choices, or vectors of `D` numbers."""

import dataclasses
from typing import NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mukoe.configuration.bounds import PositiveFloat
from mukoe.configuration.fields import Validated
from mukoe.errors import UserError
from mukoe.types import Array, PerAction

_ILLEGAL = -1e9
"""Logit of an illegal action; its probability is exactly 0."""


class Distribution(Protocol):
    """Distributions `[...]` over actions.

    A sample is a function of noise that does not depend on the parameters, so that noise can be
    kept over several steps.
    """

    def noise(self, key: chex.PRNGKey) -> jax.Array:
        """Draws the noise of one sample of each distribution, `[..., E]`."""

    def perturb(self, noise: Array) -> jax.Array:
        """Returns the samples of noise `[..., E]`; `sample(key)` is `perturb(noise(key))`."""

    def sample(self, key: chex.PRNGKey) -> jax.Array:
        """Draws one action of each distribution."""

    def mode(self) -> jax.Array:
        """Returns the most likely actions."""

    def log_prob(self, action: Array) -> jax.Array:
        """Returns the logarithm `[...]` of the probability, or density, of actions."""

    def entropy(self) -> jax.Array:
        """Returns the entropies `[...]`, in nats."""


class Categorical(NamedTuple):
    """Distributions `[...]` over the actions `0 .. A - 1`, int32 `[...]`.

    logits: `[..., A]`.
    """

    logits: PerAction

    def noise(self, key: chex.PRNGKey) -> jax.Array:
        return jax.random.gumbel(key, self.logits.shape, self.logits.dtype)

    def perturb(self, noise: Array) -> jax.Array:
        """Returns `argmax(logits + noise)`, a sample for Gumbel noise (the Gumbel-max trick)."""
        return jnp.argmax(self.logits + noise, axis=-1).astype(jnp.int32)

    def sample(self, key: chex.PRNGKey) -> jax.Array:
        return jax.random.categorical(key, self.logits).astype(jnp.int32)

    def mode(self) -> jax.Array:
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def probs(self) -> jax.Array:
        """Returns the probabilities `[..., A]`."""
        return jax.nn.softmax(self.logits)

    def log_prob(self, action: Array) -> jax.Array:
        log_probs = jax.nn.log_softmax(self.logits)
        return jnp.take_along_axis(log_probs, action[..., None], axis=-1)[..., 0]

    def entropy(self) -> jax.Array:
        return -jnp.sum(self.probs() * jax.nn.log_softmax(self.logits), axis=-1)


class Gaussian(NamedTuple):
    """Distributions `[...]` over vectors `[..., D]` whose entries are independent and normal.

    mean: `[..., D]`.
    std: `[..., D]` standard deviations.
    """

    mean: Array
    std: Array

    def noise(self, key: chex.PRNGKey) -> jax.Array:
        return jax.random.normal(key, self.mean.shape)

    def perturb(self, noise: Array) -> jax.Array:
        return self.mean + self.std * noise

    def sample(self, key: chex.PRNGKey) -> jax.Array:
        return self.perturb(self.noise(key))

    def mode(self) -> jax.Array:
        return jnp.asarray(self.mean)

    def log_prob(self, action: Array) -> jax.Array:
        """Returns `Σ_d -((a_d - μ_d) / σ_d)² / 2 - log σ_d - log(2π) / 2`, `[...]`."""
        distance = (action - self.mean) / self.std
        each = -0.5 * distance**2 - jnp.log(self.std) - 0.5 * np.log(2 * np.pi)
        return jnp.sum(each, axis=-1)

    def entropy(self) -> jax.Array:
        """Returns `Σ_d log σ_d + log(2πe) / 2`, `[...]`."""
        return jnp.sum(jnp.log(self.std) + 0.5 * np.log(2 * np.pi * np.e), axis=-1)


def categorical_policy(logits: PerAction, legal_actions: PerAction | None = None) -> Categorical:
    """Makes a policy of a head's output.

    Args:
      logits: `[..., A]`.
      legal_actions: `[..., A]` bool, or None where all are; illegal ones get probability 0.
    """
    if legal_actions is not None:
        logits = jnp.where(legal_actions, logits, _ILLEGAL)
    return Categorical(logits)


@dataclasses.dataclass(frozen=True)
class GaussianConfig(Validated):
    """The policy head for continuous actions, which lie in [-1, 1]."""

    # Standard deviation before learning.
    initial_std: PositiveFloat = 0.5
    # The least standard deviation.
    minimum_std: PositiveFloat = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.minimum_std < self.initial_std:
            raise UserError(
                "a Gaussian policy needs 0 < minimum_std < initial_std, not minimum_std "
                f"{self.minimum_std} and initial_std {self.initial_std}"
            )


def gaussian_policy(outputs: Array, config: GaussianConfig) -> Gaussian:
    """Makes a policy of a head's output, its first half `x` and its second half `y`.

        mean = tanh(x)
        std  = minimum + (initial - minimum) softplus(y) / softplus(0)

    Means lie within the bounds of actions: where draws are clipped to the bounds, nothing
    would bring back a mean far outside of them. With an output of zeros the mean is 0 and the
    standard deviation `initial_std`.

    Args:
      outputs: `[..., 2 D]`.
      config: the head.
    """
    mean, std = jnp.split(outputs, 2, axis=-1)
    scale = (config.initial_std - config.minimum_std) / np.log(2.0)
    return Gaussian(jnp.tanh(mean), config.minimum_std + scale * jax.nn.softplus(std))
