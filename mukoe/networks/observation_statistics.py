"""Running statistics of observations, by which networks normalise their input.

Mean and variance are parameters of the network: they reach actors, checkpoints, target network and
reanalysis with all others, and rows store observations as they are. Their gradients are distances
to the statistics of a batch,

    g_mean = m - mean(x)        g_var = v - mean((x - m)²)

and their optimiser takes steps of size `max(1 / t, 1e-3)` at update `t`: the mean of all batches
so far, then a moving one. Loss and optimiser of the other parameters stay the same.
An update of many gradient steps on one batch adds that batch once, by `add_batch`.
"""

import haiku as hk
import jax
import jax.numpy as jnp
import optax
from dm_env import specs

from mukoe.errors import UserError
from mukoe.networks.history import scale_pixels
from mukoe.networks.inputs import encoded_spec
from mukoe.types import Array, Nest, Params

_NAME = "observation_statistics"
_SMALLEST_VARIANCE = 1e-6
_LARGEST_INPUT = 10.0
_LEAST_STEP_SIZE = 1e-3


def check_vector(spec: Nest) -> None:
    """Checks that network inputs can be normalised.

    Args:
      spec: spec of one network input, an array or a nest of them.

    Raises:
      UserError: inputs are not vectors.
    """
    if isinstance(spec, specs.Array) and len(encoded_spec(spec).shape) == 1:
        return
    kind = f"of shape {spec.shape}" if isinstance(spec, specs.Array) else "of several parts"
    raise UserError(
        f"network.normalize_observations needs observations that are vectors, not {kind}"
    )


class NormalizedInput(hk.Module):
    """Normalises vectors `[B, F]` by the running statistics of their features."""

    def __init__(self):
        super().__init__(name=_NAME)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Returns `(x - m) / √v`, clipped to ±10."""
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
    inputs = scale_pixels(inputs)
    loss = jnp.float32(0.0)
    for name, statistics in params.items():
        if not is_statistics(name):
            continue
        mean, variance = statistics["mean"], statistics["variance"]
        distances = inputs - jax.lax.stop_gradient(mean)
        loss += jnp.sum((mean - jnp.mean(inputs, axis=0)) ** 2) / 2
        loss += jnp.sum((variance - jnp.mean(distances**2, axis=0)) ** 2) / 2
    return loss - jax.lax.stop_gradient(loss)


def keep_statistics(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Returns an optimiser of all parameters, of which `optimizer` gets all but the statistics."""

    def labels(params: Params) -> Params:
        return {name: dict.fromkeys(module, is_statistics(name)) for name, module in params.items()}

    return optax.multi_transform({False: optimizer, True: _statistics_steps()}, labels)


def _statistics_steps() -> optax.GradientTransformation:
    """Returns the optimiser of statistics, with the steps of `add_batch`.

    Of the gradients at a step size `η`, the variance of a batch is `v - g_var - η g_mean²`.
    """

    def update(gradients: Params, count: Array, params: Params | None = None) -> tuple:
        del params
        step = step_size(count)

        def change(mean: Array, variance: Array) -> dict[str, Array]:
            return {"mean": -step * mean, "variance": -step * variance - (step * mean) ** 2}

        changes = {
            name: change(**module) if is_statistics(name) else module
            for name, module in gradients.items()
        }
        return changes, count + 1

    return optax.GradientTransformation(lambda params: jnp.int32(0), update)


def add_batch(params: Params, inputs: Array, mask: Array, count: Array) -> Params:
    """Returns parameters whose statistics have taken one step towards those of a batch.

    The variance is `E[(x - m)(x - m')]` of the means before and after (Welford 1962), so that of
    the first batch is exact.

    Args:
      params: parameters of networks, some of which may normalise their input.
      inputs: `[..., F]` network inputs.
      mask: `[...]` mask of the inputs that count.
      count: `[]` number of batches before this one.
    """
    inputs = scale_pixels(inputs)
    weights = (mask / jnp.maximum(jnp.sum(mask), 1.0))[..., None]
    axes, step = tuple(range(mask.ndim)), step_size(count)

    def added(mean: Array, variance: Array) -> dict[str, Array]:
        new = mean + step * jnp.sum(weights * (inputs - mean), axis=axes)
        spread = jnp.sum(weights * (inputs - mean) * (inputs - new), axis=axes)
        return {"mean": new, "variance": variance + step * (spread - variance)}

    return {
        name: added(**module) if is_statistics(name) else module for name, module in params.items()
    }


def step_size(count: Array) -> jax.Array:
    """Returns the step size of running statistics after `count` batches."""
    return jnp.maximum(1.0 / (count + 1.0), _LEAST_STEP_SIZE)


def is_statistics(module: str) -> bool:
    """Returns whether a module of parameters holds statistics of observations."""
    return module.split("/")[-1] == _NAME
