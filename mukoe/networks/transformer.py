"""Causal transformer over the steps of an episode, with cached keys and values.

Step `i` attends to itself and to the `W - 1` steps before it that belong to its episode, the band

    0 <= i - j < W,  same episode.

The state holds the keys and values of the last `W` steps, so that a step computes one token, at a
cost that does not depend on the length of the episode. Place `p` of an episode has the slot
`p mod W`: a new step replaces the oldest one, and no other step moves. Blocks are pre-norm (Xiong
et al. 2020, arXiv:2002.04745; in reinforcement learning Parisotto et al. 2019, arXiv:1910.06764).
Positions are rotary (Su et al. 2021, arXiv:2104.09864): attention depends on the distance `i - j`
alone. Queries and keys are rotated once, by their place in the episode, and cached keys are rotated
ones.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from mukoe.networks.attention import token_norm
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

`blocks`: for each block the rotated keys and the values `[B, heads, W, size / heads]` of past
steps, by slot. `valid`: `[B, W]`, 1 for steps of the episode. `place`: `[B]` int32, number of steps
of the episode so far.
"""


class _Band(NamedTuple):
    """Attention of `T` steps, and the slots behind the last one.

    visible: `[B, T, S]` bool, True where a step attends. One step attends to the `S = W` slots,
        itself among them; several attend to the slots before them and to each other, `S = W + T`.
    angles: `[B, 1, T, d / 2]` angles by which queries and keys of the steps are rotated.
    source: `[B, W]` index of the step that a slot receives; negative where it keeps its own.
    valid: `[B, W]` bool, True where a slot holds a step of the last step's episode.
    """

    visible: jax.Array
    angles: jax.Array
    source: jax.Array
    valid: jax.Array


class Transformer(hk.Module):
    """Blocks of attention over the past and a hidden layer."""

    def __init__(self, config: TransformerConfig):
        super().__init__(name="transformer")
        self._config = config

    @staticmethod
    def initial_state(config: TransformerConfig, batch_size: int) -> Cache:
        """Returns the state of `B` environments before their first step."""
        width = config.size // config.heads
        blank = jnp.zeros((batch_size, config.heads, config.window, width), jnp.float32)
        return {
            "blocks": [{"keys": blank, "values": blank}] * config.blocks,
            "valid": jnp.zeros((batch_size, config.window)),
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
        places = _places(is_first, state["place"])
        band = _band(config, is_first, places, state)
        x = hk.Linear(config.size, name="input")(x)
        caches = []
        for index, cache in enumerate(state["blocks"]):
            x, cache = _Block(config, f"block_{index}")(x, cache, band)
            caches.append(cache)
        state = {
            "blocks": caches,
            "valid": band.valid.astype(x.dtype),
            "place": places[:, -1] + 1,
        }
        return token_norm(x, "output_norm"), state


class _Block(hk.Module):
    """Attention over the past, then a hidden layer, each behind a normalisation."""

    def __init__(self, config: TransformerConfig, name: str):
        super().__init__(name=name)
        self._config = config

    def __call__(
        self, x: jax.Array, past: dict[str, jax.Array], band: _Band
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Maps tokens `[B, T, size]` to tokens, and a cache to the one after them."""
        size, heads = self._config.size, self._config.heads
        y = token_norm(x, "attention_norm")
        queries, keys, values = (
            jnp.swapaxes(jnp.reshape(array, (*array.shape[:2], heads, -1)), 1, 2)
            for array in (
                hk.Linear(size, with_bias=False, name=name)(y) for name in ("query", "key", "value")
            )
        )
        new = {"keys": _rotate(keys, band.angles), "values": values}
        written = {name: _write(past[name], new[name], band) for name in new}
        sources = (written,) if x.shape[1] == 1 else (past, new)
        means = _attend(_rotate(queries, band.angles), sources, band.visible)
        means = jnp.reshape(jnp.swapaxes(means, 1, 2), x.shape)
        x = x + hk.Linear(size, name="attention")(means)
        y = jax.nn.gelu(hk.Linear(4 * size, name="hidden")(token_norm(x, "hidden_norm")))
        return x + hk.Linear(size, name="output")(y), written


def _write(slots: jax.Array, new: jax.Array, band: _Band) -> jax.Array:
    """Returns the slots `[B, heads, W, d]` behind new steps `[B, heads, T, d]`.

    Slots without a step of the episode are zero: its state does not depend on the one before.
    """
    source = band.source[:, None, :, None]
    if new.shape[2] > 1:
        new = jnp.take_along_axis(new, jnp.maximum(source, 0), axis=2)
    return jnp.where(band.valid[:, None, :, None], jnp.where(source >= 0, new, slots), 0)


def _attend(
    queries: jax.Array, sources: Sequence[dict[str, jax.Array]], visible: jax.Array
) -> jax.Array:
    """Returns the means `[B, heads, T, d]` of the values by the attention of each head.

    The keys and values of several sources are not concatenated, since a copy of the past costs more
    than its use.
    """
    logits = [jnp.einsum("bhtd,bhsd->bhts", queries, source["keys"]) for source in sources]
    scaled = jnp.concatenate(logits, axis=-1).astype(jnp.float32) * queries.shape[-1] ** -0.5
    weights = jax.nn.softmax(jnp.where(visible[:, None], scaled, -jnp.inf), axis=-1)
    ends = np.cumsum([source["keys"].shape[2] for source in sources])[:-1]
    split = jnp.split(weights.astype(queries.dtype), ends, axis=-1)
    means = [
        jnp.einsum("bhts,bhsd->bhtd", weight, source["values"])
        for weight, source in zip(split, sources, strict=True)
    ]
    return sum(means[1:], start=means[0])


def _band(config: TransformerConfig, is_first: Array, places: jax.Array, state: Cache) -> _Band:
    """Returns the band of steps `[B, T]` at `places` of their episodes, behind a state."""
    window, steps = config.window, is_first.shape[1]
    slots, index = jnp.arange(window), jnp.arange(steps)
    episodes = jnp.cumsum(is_first, axis=1)
    before = jnp.where(state["valid"] > 0, 0, -1)
    # The last step that each slot holds or gets, counted back from the last step.
    source = steps - 1 - (places[:, -1:] - slots) % window
    taken = jnp.take_along_axis(episodes, jnp.maximum(source, 0), axis=1)
    valid = jnp.where(source >= 0, taken, before) == episodes[:, -1:]
    angles = _angles(places, config.size // config.heads // 2)[:, None]
    if steps == 1:
        return _Band(valid[:, None], angles, source, valid)
    age = (state["place"][:, None] - 1 - slots) % window + 1
    distance = jnp.concatenate(
        [
            index[:, None] + age[:, None],
            jnp.broadcast_to(index[:, None] - index, (is_first.shape[0], steps, steps)),
        ],
        axis=2,
    )
    same = episodes[:, :, None] == jnp.concatenate([before, episodes], axis=1)[:, None]
    return _Band(same & (distance >= 0) & (distance < window), angles, source, valid)


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
