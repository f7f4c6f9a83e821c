"""Policies as distributions over actions: choices, vectors of numbers, and products of them."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

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

_LARGEST_TANH = 1.0 - 1e-6
_QUADRATURE_NODES = 32
_LARGEST_TANH_MEAN = 5.0


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

    def widened(self, scale: float) -> "Distribution":
        """Returns distributions of the same mode with a `scale` times wider spread."""


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

    def widened(self, scale: float) -> "Categorical":
        """Returns the policies at temperature `scale`."""
        return Categorical(self.logits / scale)


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

    def widened(self, scale: float) -> "Gaussian":
        return self._replace(std=scale * self.std)


class TanhGaussian(NamedTuple):
    """Distributions `[...]` over vectors `[..., D]` in (-1, 1): `tanh(u)` of normal `u`.

    Samples lie within `±(1 - 1e-6)`, so that `u` can be computed from a stored action.

    mean: `[..., D]` means of `u`.
    std: `[..., D]` standard deviations of `u`.
    """

    mean: Array
    std: Array

    def noise(self, key: chex.PRNGKey) -> jax.Array:
        return self._normal.noise(key)

    def perturb(self, noise: Array) -> jax.Array:
        return jnp.clip(jnp.tanh(self._normal.perturb(noise)), -_LARGEST_TANH, _LARGEST_TANH)

    def sample(self, key: chex.PRNGKey) -> jax.Array:
        return self.perturb(self.noise(key))

    def mode(self) -> jax.Array:
        """Returns the tanh of the means, the medians of the distributions."""
        return self.perturb(jnp.zeros_like(self.mean))

    def log_prob(self, action: Array) -> jax.Array:
        """Returns `log N(u) - Σ_d log(1 - a_d²)` with `u = arctanh(a)`, `[...]`."""
        u = jnp.arctanh(jnp.clip(action, -_LARGEST_TANH, _LARGEST_TANH))
        return self._normal.log_prob(u) - jnp.sum(_log_tanh_slope(u), axis=-1)

    def entropy(self) -> jax.Array:
        """Returns `H(u) + Σ_d E[log(1 - tanh(u_d)²)]`, `[...]`, by Gauss-Hermite quadrature."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(_QUADRATURE_NODES)
        u = self.mean[..., None] + self.std[..., None] * jnp.asarray(nodes, jnp.float32)
        shares = jnp.asarray(weights / np.sum(weights), jnp.float32)
        return self._normal.entropy() + jnp.sum(_log_tanh_slope(u) * shares, axis=(-2, -1))

    def widened(self, scale: float) -> "TanhGaussian":
        return self._replace(std=scale * self.std)

    @property
    def _normal(self) -> Gaussian:
        return Gaussian(self.mean, self.std)


class Product(NamedTuple):
    """Distributions `[...]` over vectors `[..., P]` of independent choices and real numbers.

    The logarithm of a probability is the sum of those of the parts, and so is the entropy.

    choices: distribution of each choice, in the order of the entries.
    numbers: distribution of all real numbers; None without.
    is_choice: `P` flags, True for the entries that are choices.
    """

    choices: tuple[Categorical, ...]
    numbers: Gaussian | TanhGaussian | None
    is_choice: tuple[bool, ...]

    def noise(self, key: chex.PRNGKey) -> jax.Array:
        keys = jax.random.split(key, len(self._parts))
        drawn = [part.noise(key) for part, key in zip(self._parts, keys, strict=True)]
        return jnp.concatenate(drawn, axis=-1)

    def perturb(self, noise: Array) -> jax.Array:
        sizes = [choice.logits.shape[-1] for choice in self.choices]
        split = jnp.split(noise, np.cumsum(sizes)[: len(self._parts) - 1], axis=-1)
        return self._join([p.perturb(n) for p, n in zip(self._parts, split, strict=True)])

    def sample(self, key: chex.PRNGKey) -> jax.Array:
        keys = jax.random.split(key, len(self._parts))
        return self._join([p.sample(key) for p, key in zip(self._parts, keys, strict=True)])

    def mode(self) -> jax.Array:
        return self._join([part.mode() for part in self._parts])

    def log_prob(self, action: Array) -> jax.Array:
        columns = np.flatnonzero(self.is_choice)
        each = [
            choice.log_prob(jnp.round(action[..., column]).astype(jnp.int32))
            for choice, column in zip(self.choices, columns, strict=True)
        ]
        if self.numbers is not None:
            columns = np.flatnonzero(~np.array(self.is_choice))
            each.append(self.numbers.log_prob(action[..., columns]))
        return sum(each[1:], each[0])

    def entropy(self) -> jax.Array:
        each = [part.entropy() for part in self._parts]
        return sum(each[1:], each[0])

    def widened(self, scale: float) -> "Product":
        choices = tuple(choice.widened(scale) for choice in self.choices)
        numbers = None if self.numbers is None else self.numbers.widened(scale)
        return Product(choices, numbers, self.is_choice)

    @property
    def _parts(self) -> tuple[Categorical | Gaussian | TanhGaussian, ...]:
        return self.choices if self.numbers is None else (*self.choices, self.numbers)

    def _join(self, parts: Sequence[Array]) -> jax.Array:
        """Returns the actions `[..., P]` of those of the parts."""
        choices = [part[..., None].astype(jnp.float32) for part in parts[: len(self.choices)]]
        joined = jnp.concatenate([*choices, *parts[len(choices) :]], axis=-1)
        # Choices come first in `joined`; a stable sort of the flags finds the entries again.
        order = np.argsort(~np.array(self.is_choice), kind="stable")
        return joined[..., np.argsort(order)]


def sample_candidates(policy: Distribution, key: chex.PRNGKey, count: int) -> jax.Array:
    """Draws `count` actions of each distribution, `[count, ...]`."""
    return jax.vmap(policy.sample)(jax.random.split(key, count))


def candidate_log_probs(policy: Distribution, candidates: Array, axis: int) -> jax.Array:
    """Returns the logarithms `[..., K]` of the probabilities, or densities, of candidates.

    Args:
      policy: distributions `[...]`.
      candidates: actions with an axis of `K` candidates.
      axis: the axis of the candidates.
    """
    return jax.vmap(policy.log_prob, in_axes=axis, out_axes=-1)(candidates)


def _log_tanh_slope(u: Array) -> jax.Array:
    """Returns `log(1 - tanh(u)²) = 2 (log 2 - u - softplus(-2 u))`, exact for large `u` too."""
    return 2.0 * (np.log(2.0) - u - jax.nn.softplus(-2.0 * u))


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

    # 'clip': normal actions, which environment and model clip to the bounds. 'tanh': the tanh of
    # normal numbers (Sampled MuZero, EfficientZero V2).
    bounds: Literal["clip", "tanh"] = "clip"
    # Standard deviation before learning; of 'tanh', that of the numbers before the tanh.
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


def gaussian_policy(outputs: Array, config: GaussianConfig) -> Gaussian | TanhGaussian:
    """Makes a policy of a head's output, its first half `x` and its second half `y`.

        mean = tanh(x)                  with bounds 'clip'
        mean = 5 tanh(x / 5)            with bounds 'tanh' (EfficientZero V2)
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
    limit = 1.0 if config.bounds == "clip" else _LARGEST_TANH_MEAN
    mean = jnp.tanh(mean / limit) * limit
    return bounded_gaussian(mean, config.minimum_std + scale * jax.nn.softplus(std), config)


def bounded_gaussian(mean: Array, std: Array, config: GaussianConfig) -> Gaussian | TanhGaussian:
    """Returns policies of means and standard deviations, `[..., D]` each."""
    return (Gaussian if config.bounds == "clip" else TanhGaussian)(mean, std)
