"""Self-attention over the tokens of one input, in pre-norm blocks."""

import haiku as hk
import jax

HEADS = 2
"""Number of heads."""


def attention_block(tokens: jax.Array) -> jax.Array:
    """Applies self-attention and a hidden layer to tokens `[B, N, D]`, within a Haiku module."""
    width = tokens.shape[-1]

    def norm(name: str) -> hk.LayerNorm:
        return hk.LayerNorm(-1, create_scale=True, create_offset=True, name=name)

    x = norm("attention_norm")(tokens)
    initial = hk.initializers.VarianceScaling(1.0)
    heads = hk.MultiHeadAttention(
        HEADS, width // HEADS, w_init=initial, model_size=width, name="attention"
    )
    tokens = tokens + heads(x, x, x)
    x = jax.nn.relu(hk.Linear(2 * width, name="hidden")(norm("hidden_norm")(tokens)))
    return tokens + hk.Linear(width, name="output")(x)
