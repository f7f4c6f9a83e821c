"""Modules that are added to the networks of a model, with parameters in the same tree."""

from collections.abc import Callable
from typing import Protocol

import chex
import jax
import jax.numpy as jnp

from mukoe.nests import zeros
from mukoe.types import Nest, Params


class ExtensibleNetworks(Protocol):
    """Networks to which a module on their states can be added.

    init: `key -> params`.
    representation: `(params, network input [B, ...]) -> state [B, ...]`.
    """

    @property
    def init(self) -> Callable[[chex.PRNGKey], Params]: ...
    @property
    def representation(self) -> Callable[[Params, Nest], jax.Array]: ...


def extended_init(
    networks: ExtensibleNetworks,
    spec: Nest,
    init_module: Callable[[chex.PRNGKey, jax.Array], Params],
    index: int,
) -> Callable[[chex.PRNGKey], Params]:
    """Returns the function `key -> params` of networks and a module on their states.

    Args:
      networks: networks without the module.
      spec: spec of one network input.
      init_module: function `(key, state [1, ...]) -> params` of the module.
      index: number that is folded into the key for the module, different for each module.
    """

    @jax.jit
    def init(key: chex.PRNGKey) -> Params:
        params = networks.init(key)
        state = jax.eval_shape(lambda: networks.representation(params, zeros(spec, 1)))
        blank = jnp.zeros(state.shape, state.dtype)
        return {**params, **init_module(jax.random.fold_in(key, index), blank)}

    return init
