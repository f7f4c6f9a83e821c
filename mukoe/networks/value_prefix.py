"""Value prefix: sum of the rewards since a reset (EfficientZero, arXiv:2111.00210, section 4.2).

An LSTM reads the states that the model reaches and predicts, after `k` actions,

    P_k = r_{t+1} + ... + r_{t+k}

without a discount. A reward that the model expects one step too early or too late costs a
single error. Memory and sum begin anew after every `period` actions, in the search as in the
loss: after a reset, `P` counts from there.
"""

import dataclasses
from collections.abc import Callable
from typing import Annotated, NamedTuple, Protocol, TypeVar

import chex
import haiku as hk
import jax
import jax.numpy as jnp
from msgspec import Meta

from mukoe.configuration.bounds import WIDEST_LAYER, UnrolledCount
from mukoe.configuration.fields import Validated
from mukoe.networks.extension import ExtensibleNetworks, extended_init
from mukoe.networks.heads import Head
from mukoe.networks.residual import layer_norm
from mukoe.types import Array, Nest, Params

VALUE_PREFIX = "value_prefix"
"""Name of the module of the value prefix."""

_CHANNELS = 16


@dataclasses.dataclass(frozen=True)
class ValuePrefixConfig(Validated):
    """Prediction of sums of rewards instead of rewards."""

    # Width of the LSTM; 0 predicts rewards. EfficientZero: 512.
    lstm_size: Annotated[int, Meta(ge=0, le=WIDEST_LAYER)] = 0
    # Actions between two resets of LSTM and sum. EfficientZero: 5.
    period: UnrolledCount = 5


class ValuePrefix(NamedTuple):
    """Value prefix as pure functions of the parameters of a model.

    step: `(params, memory, state [B, ...]) -> (memory, logits [B, bins])` of the prefix at the
        state that an action reached.
    initial_memory: memory of the LSTM before the first action, given `B`.
    period: number of actions between two resets.
    """

    step: Callable[[Params, hk.LSTMState, Array], tuple[hk.LSTMState, jax.Array]]
    initial_memory: Callable[[int], hk.LSTMState]
    period: int


class PrefixNetworks(ExtensibleNetworks, Protocol):
    """Networks to which a value prefix is added.

    value_prefix: value prefix; None for rewards.
    """

    @property
    def value_prefix(self) -> ValuePrefix | None: ...


Networks = TypeVar("Networks", bound=PrefixNetworks)


def with_value_prefix(
    networks: Networks,
    spec: Nest,
    num_bins: int,
    hidden_sizes: tuple[int, ...],
    config: ValuePrefixConfig,
) -> Networks:
    """Returns networks whose parameters include a value prefix.

    Args:
      networks: dataclass of networks.
      spec: spec of one network input.
      num_bins: number of bins of a prefix, those of rewards.
      hidden_sizes: hidden layers of the head.
      config: width and period.
    """

    def step(memory: hk.LSTMState, state: jax.Array) -> tuple[hk.LSTMState, jax.Array]:
        return _PrefixLSTM(config.lstm_size, num_bins, hidden_sizes)(memory, state)

    model: hk.Transformed = hk.without_apply_rng(hk.transform(step))

    def initial_memory(batch_size: int) -> hk.LSTMState:
        zeros = jnp.zeros((batch_size, config.lstm_size))
        return hk.LSTMState(zeros, zeros)

    def init_module(key: chex.PRNGKey, state: jax.Array) -> Params:
        return model.init(key, initial_memory(1), state)

    prefix = ValuePrefix(model.apply, initial_memory, config.period)
    init = extended_init(networks, spec, init_module, index=2)
    changes: dict = {"init": init, "value_prefix": prefix}
    return dataclasses.replace(networks, **changes)  # type: ignore[type-var]


class _PrefixLSTM(hk.Module):
    """LSTM over states, with a head on its output."""

    def __init__(self, lstm_size: int, num_bins: int, hidden_sizes: tuple[int, ...]):
        super().__init__(name=VALUE_PREFIX)
        self._lstm_size = lstm_size
        self._num_bins = num_bins
        self._hidden_sizes = hidden_sizes

    def __call__(self, memory: hk.LSTMState, state: jax.Array) -> tuple[hk.LSTMState, jax.Array]:
        x = jax.nn.relu(layer_norm(state))
        if state.ndim == 4:
            x = hk.Flatten()(jax.nn.relu(layer_norm(hk.Conv2D(_CHANNELS, 1)(x))))
        output, memory = hk.LSTM(self._lstm_size)(x, memory)
        return memory, Head(self._num_bins, _CHANNELS, self._hidden_sizes, "head")(output)
