"""Temperature of sampled actions and its schedule."""

import chex
import jax
import jax.numpy as jnp

from mukoe.types import PerAction


def scheduled_temperature(
    schedule: tuple[tuple[int, float], ...], learner_steps: chex.Numeric
) -> jax.Array:
    """Returns the temperature of the last `(step, temperature)` with `step <= learner_steps`.

    Args:
      schedule: pairs in ascending order from step 0.
      learner_steps: `[]`, may be traced.
    """
    steps = jnp.array([step for step, _ in schedule], jnp.int32)
    temperatures = jnp.array([temperature for _, temperature in schedule], jnp.float32)
    return temperatures[jnp.sum(steps <= learner_steps) - 1]


def sample_action(key: chex.PRNGKey, probs: PerAction, temperature: chex.Numeric) -> jax.Array:
    """Draws actions `[B]` with probability proportional to `probs ** (1 / temperature)`.

    Args:
      key: random key.
      probs: `[B, A]`; actions of probability 0 are never drawn.
      temperature: `[]`; 0 draws among the most probable actions.
    """
    # Not log(0): the temperature would bring such an action back, or give NaN.
    logits = jnp.log(jnp.where(probs > 0, probs, 1.0))
    best = jnp.log(jnp.max(probs, axis=-1, keepdims=True))
    logits = (logits - best) / jnp.maximum(temperature, 1e-6)
    return jax.random.categorical(key, jnp.where(probs > 0, logits, -jnp.inf))
