"""Clipped MPO (Hessel et al. 2021, arXiv:2104.06159, section 4.1 and 4.2).

    π_CMPO(a | s) = π_prior(a | s) exp(clip(adv(s, a), -c, c)) / z(s)

A policy is moved towards it by the loss `KL(π_CMPO, π)`; prior and advantages are constants.
However wrong the advantages, `TV(π_CMPO, π_prior) <= tanh(c / 2)` (theorem 4.1). rlax has no CMPO
targets, only the loss of weighted samples (`sampled_policy_distillation_loss`).
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from mukoe.types import Array, PerAction


class MovingSecondMoment(NamedTuple):
    """Exponential moving averages `[]` of `x²` and, for the correction of its bias, of 1."""

    total: Array
    weight: Array

    @classmethod
    def zero(cls) -> "MovingSecondMoment":
        """Returns the moment before the first sample."""
        return cls(jnp.float32(0.0), jnp.float32(0.0))

    def add(self, sample: Array, decay: float) -> "MovingSecondMoment":
        """Returns the average after one more mean of `x²`, `β m + (1 - β) sample`."""
        return MovingSecondMoment(
            decay * self.total + (1 - decay) * sample, decay * self.weight + (1 - decay)
        )

    def scale(self, epsilon: float) -> Array:
        """Returns the scale of advantages, `sqrt(m / (1 - β^k) + ε)`."""
        return jnp.sqrt(self.total / self.weight + epsilon)


def cmpo_policy(prior: PerAction, advantages: PerAction, clip: float) -> jax.Array:
    """Returns π_CMPO `[..., A]`, normalised over all actions.

    Args:
      prior: `[..., A]` probabilities.
      advantages: `[..., A]`, divided by their scale.
      clip: clipping threshold `c`.
    """
    chex.assert_equal_shape([prior, advantages])
    weights = prior * jnp.exp(jnp.clip(advantages, -clip, clip))
    return weights / jnp.maximum(jnp.sum(weights, axis=-1, keepdims=True), 1e-20)


def sampled_cmpo_weights(advantages: Array, clip: float, z_init: float = 1.0) -> jax.Array:
    """Returns the weights of actions `a_i ~ π_prior`, `[..., N]` (equation 12).

    The regulariser `KL(π_CMPO, π)` is then, up to a constant, `-1/N Σ_i w_i log π(a_i | s)`:

        w_i = exp(clip(adv_i, -c, c)) / z_i,   z_i = (z_init + Σ_{j≠i} exp(clip(adv_j, -c, c))) / N

    Leaving out an action's own advantage keeps `z_i` independent of it, `z_init` keeps it
    from being 0.

    Args:
      advantages: `[..., N]` of the sampled actions, divided by their scale.
      clip: clipping threshold `c`.
      z_init: initial estimate of `z`; 1 at the end of section 4.2.
    """
    weights = jnp.exp(jnp.clip(advantages, -clip, clip))
    others = jnp.sum(weights, axis=-1, keepdims=True) - weights
    return weights * advantages.shape[-1] / (z_init + others)


def sampled_cmpo_target(
    key: chex.PRNGKey, prior: PerAction, advantages: PerAction, clip: float, num_samples: int
) -> jax.Array:
    """Returns an estimate of π_CMPO `[..., A]` from `num_samples` actions of the prior.

    Its entry for action `a` is `1/N Σ_{i: a_i = a} w_i`, with the weights of
    `sampled_cmpo_weights`; they need not sum to 1.

    Args:
      key: random key of the draws.
      prior: `[..., A]` probabilities.
      advantages: `[..., A]`, divided by their scale.
      clip: clipping threshold `c`.
      num_samples: `N`.
    """
    chex.assert_equal_shape([prior, advantages])
    logits = jnp.log(jnp.maximum(prior, 1e-20))
    shape = (num_samples, *prior.shape[:-1])
    actions = jnp.moveaxis(jax.random.categorical(key, logits, shape=shape), 0, -1)
    sampled = jnp.take_along_axis(advantages, actions, axis=-1)
    weights = sampled_cmpo_weights(sampled, clip)
    one_hot = jax.nn.one_hot(actions, prior.shape[-1])
    return jnp.einsum("...n,...na->...a", weights, one_hot) / num_samples
