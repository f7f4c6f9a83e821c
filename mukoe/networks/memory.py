"""Memory of an episode in front of an agent's networks.

A memory reads the network inputs of an episode one after the other; its output is a vector, which
the networks behind it take as their observation:

    o_t -> torso -> core -> m_t -> networks of the agent
                    core: state_t -> state_{t+1}

`encode` serves all: actor and inference server encode one step with the state of each environment,
the learner encodes sequences. The state is reset where an episode starts.

`gru`, `lstm`   recurrent cells.
`transformer`   a causal transformer over the last steps, see `mukoe.networks.transformer`.
"""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import chex
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs
from msgspec import Meta

from mukoe.configuration.bounds import WIDEST_LAYER, UnrolledCount
from mukoe.configuration.fields import Validated
from mukoe.errors import UserError
from mukoe.nests import merge_batch_and_time, take, zeros
from mukoe.networks.inputs import part_torso
from mukoe.networks.parts import PartedTorsoConfig, PartsConfig, torso_features
from mukoe.networks.precision import in_precision
from mukoe.networks.transformer import Transformer
from mukoe.types import Array, Nest, Params

MEMORY = "memory"
"""Name of the module of the memory, and of its stored state among the extras of a row."""


@dataclasses.dataclass(frozen=True)
class MemoryConfig(Validated):
    """Memory of an episode in front of the networks."""

    # 'none'; a recurrent cell, 'gru' or 'lstm'; or a causal 'transformer' over the last steps.
    core: Literal["none", "gru", "lstm", "transformer"] = "none"
    # Width of the core, and length of its output.
    size: Annotated[int, Meta(ge=1, le=WIDEST_LAYER)] = 128
    # Transformer: steps that a block attends to, the current one included.
    window: Annotated[int, Meta(ge=2, le=WIDEST_LAYER)] = 32
    # Transformer: blocks of attention and a hidden layer.
    blocks: UnrolledCount = 2
    # Transformer: heads of the attention.
    heads: UnrolledCount = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.core == "transformer" and self.size % (2 * self.heads):
            raise UserError(
                f"memory.size ({self.size}) must be a multiple of 2 x memory.heads ({self.heads}), "
                "since positions rotate pairs of numbers in each head"
            )


NO_MEMORY = MemoryConfig()


@dataclasses.dataclass(frozen=True)
class InputMemory:
    """Memory as pure functions of one tree of parameters.

    init: `key -> params`.
    encode: `(params, network inputs [B, T, ...], is_first [B, T] bool, state) -> (encoded
        [B, T, size], state)`; the state is reset before the steps at which an episode starts.
    initial_state: state `[B, ...]` at the start of an episode, given `B`.
    state_spec: spec of the state of one environment where rows of replay store it, `[S]`; None
        where it is too large for that.
    spec: spec of one encoded input, `[size]`.
    """

    init: Callable[[chex.PRNGKey], Params]
    encode: Callable[[Params, Nest, Array, Nest], tuple[jax.Array, Nest]]
    initial_state: Callable[[int], Nest]
    state_spec: specs.Array | None
    spec: specs.Array

    def step(self, params: Params, inputs: Nest, state: Nest) -> tuple[jax.Array, Nest]:
        """Encodes one step.

        Args:
          params: parameters of the memory.
          inputs: network inputs `[B, ...]`.
          state: state `[B, ...]`, which the caller has reset where an episode starts.

        Returns:
          Encoded inputs `[B, size]` and the next state.
        """
        inputs = jax.tree.map(lambda array: jnp.asarray(array)[:, None], inputs)
        batch_size = jax.tree.leaves(inputs)[0].shape[0]
        encoded, state = self.encode(params, inputs, jnp.zeros((batch_size, 1), bool), state)
        return take(encoded, slice(None), 0), state


def make_memory(
    config: MemoryConfig, network: PartedTorsoConfig, spec: Nest, normalized: bool = False
) -> InputMemory | None:
    """Makes a memory; None without one.

    Args:
      config: core and its sizes.
      network: torso of the observations.
      spec: spec of one network input, an array or a nest of them.
      normalized: normalisation of observations by the network.

    Raises:
      UserError: observations are normalised, which networks behind a memory do not see.
    """
    if config.core == "none":
        return None
    if normalized:
        raise UserError(
            "network.normalize_observations needs networks that see the observations, not "
            f"memory.core={config.core!r}: set one of them to its default"
        )
    model: Any = hk.without_apply_rng(
        hk.transform(lambda *inputs: _Memory(config, network, spec)(*inputs))
    )

    def initial_state(batch_size: int) -> Nest:
        if config.core == "transformer":
            return Transformer.initial_state(config, batch_size)
        return jnp.zeros((batch_size, _state_size(config)), jnp.float32)

    @jax.jit
    def init(key: chex.PRNGKey) -> Params:
        return model.init(key, zeros(spec, 1, 1), jnp.zeros((1, 1), bool), initial_state(1))

    is_small = config.core != "transformer"
    return InputMemory(
        init=init,
        encode=in_precision(model.apply, network.precision, observes=True),
        initial_state=initial_state,
        state_spec=specs.Array((_state_size(config),), np.float32, MEMORY) if is_small else None,
        spec=specs.Array((config.size,), np.float32, "memory_output"),
    )


Network = TypeVar("Network", bound=PartedTorsoConfig)


def behind_memory(network: Network, memory: InputMemory) -> Network:
    """Returns the configuration of networks whose observation is the output of a memory.

    Their torso is the configured one, or 'mlp' where that does not take vectors.
    """
    changes: dict[str, Any] = {
        "torso": part_torso(network.torso, memory.spec),
        "parts": PartsConfig(),
    }
    return dataclasses.replace(network, **changes)  # type: ignore[type-var]


def with_memory_params(
    init: Callable[[chex.PRNGKey], Params], memory: InputMemory | None
) -> Callable[[chex.PRNGKey], Params]:
    """Returns the function `key -> params` of networks and the memory in front of them."""
    if memory is None:
        return init
    init_memory = memory.init

    @jax.jit
    def init_both(key: chex.PRNGKey) -> Params:
        return {**init(key), **init_memory(jax.random.fold_in(key, 3))}

    return init_both


def episode_starts(mask: Array) -> jax.Array:
    """Returns where an episode starts `[B, T]` bool: behind the rows without an action.

    Args:
      mask: `[B, T]` mask of consecutive rows. The state before the first row is one of that row's
        episode, so that it is never reset.
    """
    return jnp.pad(jnp.asarray(mask)[:, :-1] == 0, ((0, 0), (1, 0)))


class _Memory(hk.Module):
    """Torso and core."""

    def __init__(self, config: MemoryConfig, network: PartedTorsoConfig, spec: Nest):
        super().__init__(name=MEMORY)
        self._config = config
        self._network = network
        self._spec = spec

    def __call__(self, inputs: Nest, is_first: Array, state: Nest) -> tuple[jax.Array, Nest]:
        """See `InputMemory.encode`."""
        x = torso_features(self._network, self._spec, merge_batch_and_time(inputs))
        x = jnp.reshape(jax.nn.relu(x), (*is_first.shape, -1))
        state = jax.tree.map(
            lambda array: (
                array.astype(x.dtype) if jnp.issubdtype(array.dtype, jnp.floating) else array
            ),
            state,
        )
        if self._config.core == "transformer":
            return Transformer(self._config)(x, is_first, state)
        return _unroll_cell(self._config, x, is_first, state)


def _state_size(config: MemoryConfig) -> int:
    """Returns the length of a recurrent cell's state; an LSTM has an output and a cell."""
    return config.size * (2 if config.core == "lstm" else 1)


def _unroll_cell(
    config: MemoryConfig, x: jax.Array, is_first: Array, state: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Unrolls a recurrent cell over features `[B, T, D]`, from a state `[B, S]`."""
    if config.core == "gru":
        core = hk.ResetCore(hk.GRU(config.size))
        return hk.dynamic_unroll(core, (x, is_first), state, time_major=False)
    core = hk.ResetCore(hk.LSTM(config.size))
    start = hk.LSTMState(*jnp.split(state, 2, axis=-1))
    y, last = hk.dynamic_unroll(core, (x, is_first), start, time_major=False)
    return y, jnp.concatenate([last.hidden, last.cell], axis=-1)
