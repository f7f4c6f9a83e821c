"""Running statistics of observations, by which networks normalise their input.

Mean and variance are parameters of the network: they reach actors, checkpoints, target network and
reanalysis with all others, and rows store observations as they are. Their gradients are distances
to the statistics of a batch,

    g_mean = m - mean(x)        g_var = v - mean((x - m)²)

and their optimiser is plain descent with step size `max(1 / t, 1e-3)` at update `t`: the mean of
all batches so far, then a moving one. Loss and optimiser of the other parameters stay the same.
"""

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from mukoe.errors import UserError
from mukoe.types import Array, Params

_NAME = "observation_statistics"
_SMALLEST_VARIANCE = 1e-6
_LARGEST_INPUT = 10.0
_LEAST_STEP_SIZE = 1e-3


class NormalizedInput(hk.Module):
    """Normalises vectors `[B, F]` by the running statistics of their features."""

    def __init__(self):
        super().__init__(name=_NAME)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Returns `(x - m) / √v`, clipped to ±10.

        Raises:
          UserError: inputs are not vectors.
        """
        if inputs.ndim != 2:
            raise UserError(
                "network.normalize_observations needs observations that are vectors, not of shape "
                f"{inputs.shape[1:]}"
            )
        size = inputs.shape[-1:]
        mean = jax.lax.stop_gradient(hk.get_parameter("mean", size, init=jnp.zeros))
        variance = jax.lax.stop_gradient(hk.get_parameter("variance", size, init=jnp.ones))
        scale = jax.lax.rsqrt(jnp.maximum(variance, _SMALLEST_VARIANCE))
        return jnp.clip((inputs - mean) * scale, -_LARGEST_INPUT, _LARGEST_INPUT)


def statistics_loss(params: Params, inputs: Array) -> jax.Array:
    """Returns 0, with the gradients of the statistics in `params` for a batch of inputs.

    Args:
      params: parameters of networks, some of which may normalise their input.
      inputs: `[B, F]` network inputs.
    """
    loss = jnp.float32(0.0)
    for name, statistics in params.items():
        if not _is_statistics(name):
            continue
        mean, variance = statistics["mean"], statistics["variance"]
        distances = inputs - jax.lax.stop_gradient(mean)
        loss += jnp.sum((mean - jnp.mean(inputs, axis=0)) ** 2) / 2
        loss += jnp.sum((variance - jnp.mean(distances**2, axis=0)) ** 2) / 2
    return loss - jax.lax.stop_gradient(loss)


def keep_statistics(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Returns an optimiser of all parameters, of which `optimizer` gets all but the statistics."""

    def labels(params: Params) -> Params:
        return {
            name: dict.fromkeys(module, _is_statistics(name)) for name, module in params.items()
        }

    def step_size(count: Array) -> jax.Array:
        return jnp.maximum(1.0 / (count + 1.0), _LEAST_STEP_SIZE)

    return optax.multi_transform({False: optimizer, True: optax.sgd(step_size)}, labels)


def _is_statistics(module: str) -> bool:
    return module.split("/")[-1] == _NAME
