"""The prior at the root: legal actions and exploration noise."""

import chex
import jax
import jax.numpy as jnp

from mukoe.types import Array


def mask_logits(logits: Array, legal_actions: Array) -> Array:
    """Returns logits `[B, A]` whose softmax is exactly 0 where `legal_actions` is False."""
    # Finite, because the difference of two infinities is not a number.
    return jnp.where(legal_actions, logits, jnp.finfo(logits.dtype).min)


def complete_mask(legal_actions: Array | None, logits: Array) -> Array:
    """Returns legal actions `[B, A]`: all of them for None, and where a row has none.

    The final observation of a game has no legal action; its search means nothing, and must
    not be NaN.
    """
    if legal_actions is None:
        return jnp.ones(logits.shape, bool)
    legal_actions = legal_actions.astype(bool)
    return legal_actions | ~jnp.any(legal_actions, axis=-1, keepdims=True)


def add_dirichlet_noise(
    key: chex.PRNGKey,
    probs: Array,
    legal_actions: Array,
    alpha: float,
    fraction: float,
) -> Array:
    """Returns `(1 - fraction) probs + fraction noise`, `[B, A]`.

    The noise is Dirichlet over the legal actions alone, so that its share is `fraction` no
    matter how many there are (AlphaZero, Silver et al. 2018, methods, "Search").
    """
    # Logarithms of gamma variables: their normalised exponentials are Dirichlet.
    log_gamma = jax.random.loggamma(key, alpha, probs.shape, probs.dtype)
    noise = jax.nn.softmax(mask_logits(log_gamma, legal_actions))
    return (1 - fraction) * probs + fraction * noise
