"""Root of a search: legal-action mask, exploration noise, and the best action."""

import chex
import jax
import jax.numpy as jnp

from mukoe.types import PerAction


def mask_logits(logits: PerAction, legal_actions: PerAction) -> PerAction:
    """Returns logits `[B, A]` whose softmax is exactly 0 where `legal_actions` is False."""
    # Finite, because the difference of two infinities is not a number.
    return jnp.where(legal_actions, logits, jnp.finfo(logits.dtype).min)


def unmasked(logits: PerAction) -> PerAction:
    """Returns which logits `[..., A]` are not those of illegal actions after `mask_logits`."""
    return logits > jnp.finfo(logits.dtype).min


def complete_mask(legal_actions: PerAction | None, logits: PerAction) -> PerAction:
    """Returns legal actions `[..., A]` bool with at least one legal action per row.

    All actions count as legal for None and in rows without a legal action. The final observation
    of a game is such a row: its policy is unused, but must not be NaN.

    Args:
      legal_actions: `[..., A]`, or None.
      logits: array of shape `[..., A]`.
    """
    if legal_actions is None:
        return jnp.ones(logits.shape, bool)
    legal_actions = legal_actions.astype(bool)
    return legal_actions | ~jnp.any(legal_actions, axis=-1, keepdims=True)


def invalid_actions(legal_actions: PerAction) -> PerAction:
    """Returns mctx's mask `[B, A]` float32: 1 on illegal actions."""
    return 1.0 - legal_actions.astype(jnp.float32)


def add_dirichlet_noise(
    key: chex.PRNGKey,
    probs: PerAction,
    legal_actions: PerAction,
    alpha: float,
    fraction: float,
) -> PerAction:
    """Returns `(1 - fraction) probs + fraction noise`, `[B, A]`.

    The noise is Dirichlet over the legal actions alone, so that its share is `fraction` for any
    number of them (AlphaZero, Silver et al. 2018, methods, "Search").

    Args:
      key: random key.
      probs: `[B, A]` prior.
      legal_actions: `[B, A]` bool.
      alpha: concentration of the noise.
      fraction: share of the noise.
    """
    # Logarithms of gamma variables: their normalised exponentials are Dirichlet.
    log_gamma = jax.random.loggamma(key, alpha, probs.shape, probs.dtype)
    noise = jax.nn.softmax(mask_logits(log_gamma, legal_actions))
    return (1 - fraction) * probs + fraction * noise


def best_action(scores: PerAction, tie_break: PerAction, legal_actions: PerAction) -> jax.Array:
    """Returns the actions `[B]` int32 of the highest score; of several, that of the `tie_break`.

    Args:
      scores: `[B, A]`, such as visit counts.
      tie_break: `[B, A]`, such as Q-values; the highest wins.
      legal_actions: `[B, A]` bool.
    """
    best = (scores == jnp.max(scores, axis=-1, keepdims=True)) & legal_actions
    return jnp.argmax(jnp.where(best, tie_break, -jnp.inf), axis=-1).astype(jnp.int32)
