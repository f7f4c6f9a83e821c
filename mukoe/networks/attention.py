"""Self-attention over the tokens of one input, in pre-norm blocks."""

import haiku as hk
import jax
import jax.numpy as jnp

HEADS = 2
"""Number of heads."""


def attention_block(
    tokens: jax.Array, hidden_size: int, mask: jax.Array | None = None
) -> jax.Array:
    """Applies self-attention and a hidden layer to tokens, within a Haiku module.

    Args:
      tokens: `[B, N, D]` tokens.
      hidden_size: width of the hidden layer.
      mask: `[B, N]`, 0 for the tokens that no token attends to; None to attend to all.

    Returns:
      `[B, N, D]` tokens.
    """
    width = tokens.shape[-1]
    x = token_norm(tokens, "attention_norm")
    initial = hk.initializers.VarianceScaling(1.0)
    heads = hk.MultiHeadAttention(
        HEADS, max(width // HEADS, 1), w_init=initial, model_size=width, name="attention"
    )
    tokens = tokens + heads(x, x, x, None if mask is None else mask[:, None, None] > 0)
    x = hk.Linear(hidden_size, name="hidden")(token_norm(tokens, "hidden_norm"))
    return tokens + hk.Linear(width, name="output")(jax.nn.relu(x))


def token_norm(tokens: jax.Array, name: str) -> jax.Array:
    """Normalises every token `[B, N, D]`; moments are computed in float32."""
    norm = hk.LayerNorm(-1, create_scale=True, create_offset=True, name=name)
    return norm(tokens.astype(jnp.float32)).astype(tokens.dtype)
