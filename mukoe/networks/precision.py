"""Networks that compute in bfloat16, with parameters and outputs in float32.

Parameters are cast when a network is evaluated, so that optimiser, checkpoints, target parameters
and gradients stay in float32, and so do targets, losses and the decoding of values.
"""

from collections.abc import Callable
from typing import Any, Literal

import haiku as hk
import jax
import jax.numpy as jnp

from mukoe.networks.observation_statistics import is_statistics
from mukoe.types import Nest, Params

Precision = Literal["float32", "bfloat16"]
"""Type in which layers compute."""


def in_precision(
    apply: Callable[..., Any], precision: Precision, observes: bool = False
) -> Callable[..., Any]:
    """Returns a function of `(params, *inputs)` whose layers compute in `precision`.

    Args:
      apply: function of float32 parameters, such as the `apply` of a Haiku transform.
      precision: type of the computation. Integers and the statistics of observations are not cast.
      observes: True if the inputs are observations, which `apply` casts when they are encoded and
        normalised, see `to_precision`; False to cast the inputs.
    """
    if precision == "float32":
        return apply

    def half(params: Params, *inputs: Nest) -> Any:
        params = {
            name: module if is_statistics(name) else _cast(module, jnp.bfloat16)
            for name, module in params.items()
        }
        inputs = inputs if observes else _cast(inputs, jnp.bfloat16)
        return _cast(apply(params, *inputs), jnp.float32)

    return half


def to_precision(x: jax.Array, precision: Precision) -> jax.Array:
    """Returns an encoded observation in the type in which layers compute.

    Parameters get the type of the input that they are made for: while they are, it is float32.
    """
    return x.astype(jnp.bfloat16) if precision == "bfloat16" and not hk.running_init() else x


def _cast(nest: Nest, dtype: Any) -> Nest:
    def cast(x: Any) -> Any:
        return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(cast, nest)
