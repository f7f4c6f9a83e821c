"""Causal transformer over the steps of an episode, with cached keys and values.

Step `i` attends to itself and to the `W - 1` steps before it that belong to its episode, the band

    0 <= i - j < W,  same episode.

The state holds the keys and values of the last `W - 1` steps, so that a step computes one token,
at a cost that does not depend on the length of the episode. Blocks are pre-norm (Xiong et al. 2020,
arXiv:2002.04745; in reinforcement learning Parisotto et al. 2019, arXiv:1910.06764). Positions are
rotary (Su et al. 2021, arXiv:2104.09864): attention depends on the distance `i - j` alone. Queries
and keys are rotated once, by their place in the episode, and cached keys are rotated ones.
"""

from typing import NamedTuple, Protocol

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from mukoe.types import Array, Nest

_SLOWEST_TURN = 10_000.0
_FULL_TURN = 2**32
"""Full turn in the unit of angles, whose integer arithmetic drops whole turns without rounding."""


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


Cache = dict[str, Nest]
"""Past of the current episode.

`blocks`: for each block the rotated keys and the values `[B, heads, W - 1, size / heads]` of past
steps, oldest first. `valid`: `[B, W - 1]`, 1 for steps of the episode. `place`: `[B]` int32, number
of steps of the episode so far.
"""


class _Band(NamedTuple):
    """Steps `[T]` and the `S = W - 1 + T` steps that they may attend to.

    visible: `[B, T, S]` bool.
    angles: `[B, 1, T, d / 2]` angles by which queries and keys of the steps are rotated.
    """

    visible: jax.Array
    angles: jax.Array


class Transformer(hk.Module):
    """Blocks of attention over the past and a hidden layer."""

    def __init__(self, config: TransformerConfig):
        super().__init__(name="transformer")
        self._config = config

    @staticmethod
    def initial_state(config: TransformerConfig, batch_size: int) -> Cache:
        """Returns the state of `B` environments before their first step."""
        past, width = config.window - 1, config.size // config.heads
        blank = jnp.zeros((batch_size, config.heads, past, width), jnp.float32)
        return {
            "blocks": [{"keys": blank, "values": blank}] * config.blocks,
            "valid": jnp.zeros((batch_size, past)),
            "place": jnp.zeros(batch_size, jnp.int32),
        }

    def __call__(self, x: jax.Array, is_first: Array, state: Cache) -> tuple[jax.Array, Cache]:
        """Maps features `[B, T, D]` to outputs `[B, T, size]`.

        Args:
          x: features of consecutive steps.
          is_first: `[B, T]` bool, True where an episode starts.
          state: keys and values of the steps before.

        Returns:
          The outputs, and the state after the last step.
        """
        config = self._config
        past, steps = config.window - 1, is_first.shape[1]
        episodes = jnp.cumsum(is_first, axis=1)
        before = jnp.where(state["valid"] > 0, 0, -1)
        key_episodes = jnp.concatenate([before, episodes], axis=1)
        valid = key_episodes[:, -past:] == episodes[:, -1:]
        places = _places(is_first, state["place"])
        angles = _angles(places, config.size // config.heads // 2)[:, None]
        band = _Band(_visible(config.window, episodes, key_episodes), angles)
        x = hk.Linear(config.size, name="input")(x)
        caches = []
        # The state of an episode does not depend on the one before.
        kept = valid[:, None, :, None]
        for index, cache in enumerate(state["blocks"]):
            x, new = _Block(config, f"block_{index}")(x, cache, band)
            caches.append(
                {
                    name: jnp.concatenate([cache[name], new[name]], axis=2)[:, :, steps:] * kept
                    for name in cache
                }
            )
        state = {
            "blocks": caches,
            "valid": valid.astype(x.dtype),
            "place": places[:, -1] + 1,
        }
        return _norm(x, "output_norm"), state


class _Block(hk.Module):
    """Attention over the past, then a hidden layer, each behind a normalisation."""

    def __init__(self, config: TransformerConfig, name: str):
        super().__init__(name=name)
        self._config = config

    def __call__(
        self, x: jax.Array, past: dict[str, jax.Array], band: _Band
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Maps tokens `[B, T, size]` to tokens, and to their keys and values `[B, heads, T, d]`."""
        size, heads = self._config.size, self._config.heads
        y = _norm(x, "attention_norm")
        queries, keys, values = (
            jnp.swapaxes(jnp.reshape(array, (*array.shape[:2], heads, -1)), 1, 2)
            for array in (
                hk.Linear(size, with_bias=False, name=name)(y) for name in ("query", "key", "value")
            )
        )
        new = {"keys": _rotate(keys, band.angles), "values": values}
        means = _attend(_rotate(queries, band.angles), past, new, band.visible)
        means = jnp.reshape(jnp.swapaxes(means, 1, 2), x.shape)
        x = x + hk.Linear(size, name="attention")(means)
        y = jax.nn.gelu(hk.Linear(4 * size, name="hidden")(_norm(x, "hidden_norm")))
        return x + hk.Linear(size, name="output")(y), new


def _attend(
    queries: jax.Array, past: dict[str, jax.Array], new: dict[str, jax.Array], visible: jax.Array
) -> jax.Array:
    """Returns the means `[B, heads, T, d]` of the values by the attention of each head.

    Past and new entries are not concatenated, since a copy of the past costs more than its use.
    """
    both, first = (past, new), past["keys"].shape[2]
    logits = [jnp.einsum("bhtd,bhsd->bhts", queries, part["keys"]) for part in both]
    scaled = jnp.concatenate(logits, axis=-1).astype(jnp.float32) * queries.shape[-1] ** -0.5
    weights = jax.nn.softmax(jnp.where(visible[:, None], scaled, -jnp.inf), axis=-1)
    split = jnp.split(weights.astype(queries.dtype), [first], axis=-1)
    means = [
        jnp.einsum("bhts,bhsd->bhtd", weight, part["values"])
        for weight, part in zip(split, both, strict=True)
    ]
    return means[0] + means[1]


def _visible(window: int, episodes: jax.Array, key_episodes: jax.Array) -> jax.Array:
    """Returns the band `[B, T, S]` of queries `[B, T]` and keys `[B, S]` by their episodes."""
    index = jnp.arange(key_episodes.shape[1])
    distance = index[-episodes.shape[1] :, None] - index[None]
    same = episodes[:, :, None] == key_episodes[:, None]
    return same & (distance >= 0) & (distance < window)


def _places(is_first: Array, before: jax.Array) -> jax.Array:
    """Returns the steps of the episode so far `[B, T]` int32, given those `before` `[B]`."""
    index = jnp.arange(is_first.shape[1])
    start = jax.lax.cummax(jnp.where(is_first, index, -1), axis=1)
    return jnp.where(start < 0, before[:, None] + index, index - start)


def _angles(places: jax.Array, pairs: int) -> jax.Array:
    """Returns the angles `[B, T, pairs]` of places `[B, T]`, to 1e-6 at every place."""
    turns = _SLOWEST_TURN ** (-np.arange(pairs) / pairs) / (2 * np.pi)
    phases = places.astype(jnp.uint32)[..., None] * np.uint32(np.round(turns * _FULL_TURN))
    return phases.astype(jnp.float32) * np.float32(2 * np.pi / _FULL_TURN)


def _rotate(x: jax.Array, angles: jax.Array) -> jax.Array:
    """Rotates pairs of numbers of `[B, heads, T, d]` by `[B, 1, T, d / 2]` angles."""
    cos, sin = jnp.cos(angles).astype(x.dtype), jnp.sin(angles).astype(x.dtype)
    left, right = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([left * cos - right * sin, left * sin + right * cos], axis=-1)


def _norm(x: jax.Array, name: str) -> jax.Array:
    """Normalises every token `[B, T, size]`; moments are computed in float32."""
    norm = hk.LayerNorm(-1, create_scale=True, create_offset=True, name=name)
    return norm(x.astype(jnp.float32)).astype(x.dtype)
