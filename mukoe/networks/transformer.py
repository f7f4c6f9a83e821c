"""Causal transformer over the steps of an episode, with cached keys and values.

Step `i` attends to itself and to the `W - 1` steps before it that belong to its episode, the band

    0 <= i - j < W,  same episode.

The state holds the keys and values of the last `W - 1` steps, so that a step computes one token,
at a cost that does not depend on the length of the episode. Blocks are pre-norm (Xiong et al. 2020,
arXiv:2002.04745; in reinforcement learning Parisotto et al. 2019, arXiv:1910.06764). Positions are
rotary (Su et al. 2021, arXiv:2104.09864): attention depends on the distance `i - j` alone, and keys
are rotated by their place in the window, not in the episode.
"""

from typing import NamedTuple, Protocol

import haiku as hk
import jax
import jax.numpy as jnp

from mukoe.types import Array

_SLOWEST_TURN = 10_000.0


class TransformerConfig(Protocol):
    """Sizes of a transformer, see `mukoe.networks.memory.MemoryConfig`."""

    @property
    def size(self) -> int: ...
    @property
    def window(self) -> int: ...
    @property
    def blocks(self) -> int: ...
    @property
    def heads(self) -> int: ...


Cache = dict[str, jax.Array]
"""Keys and values `[B, blocks, W - 1, size]` of past steps, oldest first, and `valid` `[B, W - 1]`.

`valid` is 1 for steps of the current episode.
"""


class _Band(NamedTuple):
    """Steps `[T]` and the `S = W - 1 + T` steps that they may attend to.

    visible: `[B, T, S]` bool.
    places: `[S]` places of keys; queries have the last `T` of them.
    """

    visible: jax.Array
    places: jax.Array


class Transformer(hk.Module):
    """Blocks of attention over the past and a hidden layer."""

    def __init__(self, config: TransformerConfig):
        super().__init__(name="transformer")
        self._config = config

    @staticmethod
    def initial_state(config: TransformerConfig, batch_size: int) -> Cache:
        """Returns the state of `B` environments before their first step."""
        past = config.window - 1
        blank = jnp.zeros((batch_size, config.blocks, past, config.size), jnp.float32)
        return {"keys": blank, "values": blank, "valid": jnp.zeros((batch_size, past))}

    def __call__(self, x: jax.Array, is_first: Array, state: Cache) -> tuple[jax.Array, Cache]:
        """Maps features `[B, T, D]` to outputs `[B, T, size]`.

        Args:
          x: features of consecutive steps.
          is_first: `[B, T]` bool, True where an episode starts.
          state: keys and values of the steps before.

        Returns:
          The outputs, and the state after the last step.
        """
        past = self._config.window - 1
        episodes = jnp.cumsum(is_first, axis=1)
        before = jnp.where(state["valid"] > 0, 0, -1)
        key_episodes = jnp.concatenate([before, episodes], axis=1)
        band = _band(self._config.window, episodes, key_episodes)
        valid = key_episodes[:, -past:] == episodes[:, -1:]
        x = hk.Linear(self._config.size, name="input")(x)
        caches = []
        for index in range(self._config.blocks):
            block = _Block(self._config, f"block_{index}")
            x, *cache = block(x, state["keys"][:, index], state["values"][:, index], band)
            # The state of an episode does not depend on the one before.
            caches.append([array[:, -past:] * valid[..., None] for array in cache])
        keys, values = (jnp.stack(arrays, axis=1) for arrays in zip(*caches, strict=True))
        state = {"keys": keys, "values": values, "valid": valid.astype(x.dtype)}
        return _norm(x, "output_norm"), state


class _Block(hk.Module):
    """Attention over the past, then a hidden layer, each behind a normalisation."""

    def __init__(self, config: TransformerConfig, name: str):
        super().__init__(name=name)
        self._config = config

    def __call__(
        self, x: jax.Array, past_keys: jax.Array, past_values: jax.Array, band: _Band
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Maps tokens `[B, T, size]` to tokens, and to the keys and values `[B, S, size]`."""
        size = self._config.size
        y = _norm(x, "attention_norm")
        queries, keys, values = (
            hk.Linear(size, with_bias=False, name=name)(y) for name in ("query", "key", "value")
        )
        keys = jnp.concatenate([past_keys, keys], axis=1)
        values = jnp.concatenate([past_values, values], axis=1)
        x = x + hk.Linear(size, name="attention")(self._attend(queries, keys, values, band))
        y = jax.nn.gelu(hk.Linear(4 * size, name="hidden")(_norm(x, "hidden_norm")))
        return x + hk.Linear(size, name="output")(y), keys, values

    def _attend(
        self, queries: jax.Array, keys: jax.Array, values: jax.Array, band: _Band
    ) -> jax.Array:
        """Returns the means `[B, T, size]` of the values by the attention of each head."""
        heads = self._config.heads

        def split(array: jax.Array) -> jax.Array:
            return jnp.reshape(array, (*array.shape[:2], heads, -1))

        steps = queries.shape[1]
        turned_queries = _rotate(split(queries), band.places[-steps:])
        turned_keys = _rotate(split(keys), band.places)
        logits = jnp.einsum("bthd,bshd->bhts", turned_queries, turned_keys).astype(jnp.float32)
        logits = logits * turned_keys.shape[-1] ** -0.5
        logits = jnp.where(band.visible[:, None], logits, -jnp.inf)
        weights = jax.nn.softmax(logits, axis=-1).astype(values.dtype)
        means = jnp.einsum("bhts,bshd->bthd", weights, split(values))
        return jnp.reshape(means, queries.shape)


def _band(window: int, episodes: jax.Array, key_episodes: jax.Array) -> _Band:
    """Returns the band of queries `[B, T]` and keys `[B, S]` with the numbers of their episodes."""
    places = jnp.arange(key_episodes.shape[1])
    distance = places[-episodes.shape[1] :, None] - places[None]
    visible = (episodes[:, :, None] == key_episodes[:, None]) & (distance >= 0)
    return _Band(visible & (distance < window), places)


def _rotate(x: jax.Array, places: jax.Array) -> jax.Array:
    """Rotates pairs of numbers of `[B, N, heads, d]` by angles that grow with the places `[N]`."""
    half = x.shape[-1] // 2
    turns = _SLOWEST_TURN ** (-jnp.arange(half) / half)
    angles = (places[:, None] * turns)[None, :, None]
    cos, sin = jnp.cos(angles).astype(x.dtype), jnp.sin(angles).astype(x.dtype)
    left, right = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([left * cos - right * sin, left * sin + right * cos], axis=-1)


def _norm(x: jax.Array, name: str) -> jax.Array:
    """Normalises every token `[B, T, size]`; moments are computed in float32."""
    norm = hk.LayerNorm(-1, create_scale=True, create_offset=True, name=name)
    return norm(x.astype(jnp.float32)).astype(x.dtype)
