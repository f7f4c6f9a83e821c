"""An update of several gradient steps: passes over a batch, in minibatches."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from mukoe.errors import UserError
from mukoe.learning.update import LearnerState, TargetUpdateConfig, finish_update, gradient_step
from mukoe.types import Array, LossFunction, Nest, Params, Sample


@dataclasses.dataclass(frozen=True)
class EpochsConfig:
    """Epochs and minibatches of an update."""

    # Number of passes over the batch.
    epochs: int
    # Number of minibatches of a batch, each with a gradient step.
    minibatches: int
    # Unrolls the gradient steps at trace time instead of a loop: XLA's CPU backend runs the
    # gradient of a convolution an order of magnitude slower within a loop.
    unroll: bool = False
    # Makes a minibatch of the whole rollouts of some entries of the batch, for networks with a
    # memory, instead of some steps of every entry.
    whole_rollouts: bool = False


def update_in_epochs(
    prepare: Callable[[Params, Sample], Nest],
    config: EpochsConfig,
    loss: LossFunction,
    optimizer: optax.GradientTransformation,
    target_update: TargetUpdateConfig,
    state: LearnerState,
    sample: Sample,
) -> tuple[LearnerState, Mapping[str, Array], Array | None, Array]:
    """Makes one update of `epochs x minibatches` gradient steps.

    A minibatch has the same number of steps of every entry of the batch, resampled in each epoch,
    so that no data moves between devices, and the minibatches are the same on any number of
    devices. With `whole_rollouts` it has all steps of some entries.

    Args:
      prepare: function of `(params, sample)`, computed once before the first gradient step, to a
        tree of arrays `[B, T, ...]`, `T` a multiple of the minibatches; with `whole_rollouts`
        `B`, and arrays may be `[B, ...]` behind the first one.
      config: numbers of epochs and minibatches.
      loss: loss of a minibatch `[B, T / minibatches, ...]`, or `[B / minibatches, T, ...]`.
      optimizer: optimiser, whose updates receive `agent_steps`: the share of a gradient step in
        the agent steps of the sample, int32.
      target_update: settings of the target parameters.
      state: state before the update.
      sample: sample of rollouts `[B, H + T + 1, ...]`.

    Returns:
      The next state, the metrics as means over the gradient steps, no priorities, and
      whether all gradient steps were finite.
    """
    batch = prepare(state.params, sample)
    batch_size, length = jax.tree.leaves(batch)[0].shape[:2]
    steps = config.epochs * config.minibatches

    def step(
        carry: tuple[LearnerState, Array], xs: tuple[Array, chex.PRNGKey, Array]
    ) -> tuple[tuple[LearnerState, Array], Mapping[str, Any]]:
        made, finite = carry
        indices, key, agent_steps = xs
        minibatch = jax.tree.map(lambda array: _take(array, indices), batch)
        made, total, metrics, _ = gradient_step(
            loss, optimizer, made, minibatch, key, agent_steps=agent_steps
        )
        norms = total + metrics["gradient_norm"] + metrics["parameter_norm"]
        return (made, finite & jnp.isfinite(norms)), metrics

    shuffle_key, loss_key = jax.random.split(jax.random.fold_in(state.key, state.steps))
    indices = minibatch_indices(shuffle_key, config, batch_size, length)
    keys = jax.random.split(loss_key, steps)
    # The rows of history belong to the rollout before.
    agent_steps = _divide(jnp.sum(sample.rows.mask[:, -1 - length :].astype(jnp.int32)), steps)
    (made, finite), metrics = jax.lax.scan(
        step,
        (state, jnp.bool_(True)),
        (indices, keys, agent_steps),
        unroll=steps if config.unroll else 1,
    )
    state = finish_update(target_update, state, made, finite)
    return state, jax.tree.map(lambda values: values.mean(0), metrics), None, finite


def minibatch_indices(
    key: chex.PRNGKey, config: EpochsConfig, batch_size: int, length: int
) -> jax.Array:
    """Returns `[epochs x minibatches, B, length / minibatches]`, which steps make a minibatch.

    In every epoch each of the `B` entries has its `length` steps in an order of its own, and
    each of them in one minibatch. With `whole_rollouts` each entry is in one minibatch:
    `[epochs x minibatches, B / minibatches]`.

    Raises:
      UserError: the steps, or the entries, cannot be divided evenly into minibatches.
    """
    parts = batch_size if config.whole_rollouts else length

    def one_epoch(key: chex.PRNGKey) -> jax.Array:
        if config.whole_rollouts:
            return jax.random.permutation(key, batch_size).reshape(config.minibatches, -1)
        noise = jax.random.uniform(key, (batch_size, length))
        order = jnp.argsort(noise, axis=1)
        return order.reshape(batch_size, config.minibatches, -1).swapaxes(0, 1)

    if parts % config.minibatches:
        name = "environments" if config.whole_rollouts else "steps"
        raise UserError(
            f"{parts} {name} cannot be divided evenly into {config.minibatches} minibatches"
        )
    epochs = jax.vmap(one_epoch)(jax.random.split(key, config.epochs))
    return epochs.reshape(-1, *epochs.shape[2:])


def _take(array: Array, indices: Array) -> jax.Array:
    """Picks the steps `[B, N]` of `[B, T, ...]`, or the entries `[N]`."""
    if indices.ndim == 1:
        return array[indices]
    return jax.vmap(lambda steps, index: steps[index])(array, indices)


def _divide(count: Array, parts: int) -> jax.Array:
    """Divides a count `[]` int32 into `parts` whole numbers `[parts]` that differ by 1 at most."""
    return count // parts + (jnp.arange(parts) < count % parts)
