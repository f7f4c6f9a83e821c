"""The update of a learner: a pure function of its state and a sample."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from msgspec import Meta

from mukoe.configuration.bounds import LARGEST_COUNT
from mukoe.configuration.fields import Validated
from mukoe.nests import tree_select
from mukoe.types import Array, LossFunction, Nest, Params, Sample


@dataclasses.dataclass(frozen=True)
class TargetUpdateConfig(Validated):
    """Schedule and rate of the updates of the target parameters."""

    # Updates between two updates of the target parameters.
    period: Annotated[int, Meta(ge=1, le=LARGEST_COUNT)] = 100
    # Rate: target <- (1 - rate) target + rate online. 1 copies.
    rate: Annotated[float, Meta(gt=0, le=1)] = 1.0


class LearnerState(NamedTuple):
    """State of the learner.

    params, target_params, optimizer_state: trees of arrays.
    steps: number of updates so far, `[]` int32.
    key: random key `[2]` uint32; update `i` uses `fold_in(key, i)`.
    loss_state: state of the loss, such as moving averages; `()` for most.
    """

    params: Params
    target_params: Params
    optimizer_state: optax.OptState
    steps: Array
    key: chex.PRNGKey
    loss_state: Nest = ()


UpdateFunction = Callable[..., tuple[LearnerState, Mapping[str, Array], Array | None, Array]]
"""Pure function `update(loss, optimizer, target_update, state, sample)`.

Returns the next state, metrics, priorities, and whether the update was finite.
"""


def gradient_update(
    loss: LossFunction,
    optimizer: optax.GradientTransformation,
    target_update: TargetUpdateConfig,
    state: LearnerState,
    sample: Sample,
) -> tuple[LearnerState, Mapping[str, Array], Array | None, Array]:
    """Makes an update of one gradient step."""
    key = jax.random.fold_in(state.key, state.steps)
    sample = sample._replace(learner_steps=state.steps)
    made, total, metrics, priorities = gradient_step(loss, optimizer, state, sample, key)
    finite = jnp.isfinite(total + metrics["gradient_norm"] + metrics["parameter_norm"])
    return finish_update(target_update, state, made, finite), metrics, priorities, finite


def update_if_complete(
    update: UpdateFunction, state: LearnerState, sample: Sample, has_sample: Array
) -> tuple[Any, ...]:
    """Makes an update and returns whether it is complete; keeps `state` if it is not.

    Args:
      update: pure function `update(state, sample)`.
      state: state before the update.
      sample: sample of all processes.
      has_sample: `[devices]` bool, False for those of a process whose dataset has ended.
    """
    made, *results = update(state, sample)
    complete = jnp.all(has_sample)
    return tree_select(complete, made, state), *results, complete


def gradient_step(
    loss: LossFunction,
    optimizer: optax.GradientTransformation,
    state: LearnerState,
    batch: Nest,
    key: chex.PRNGKey,
    **optimizer_args: Array,
) -> tuple[LearnerState, Array, dict[str, Array], Array | None]:
    """Makes one gradient step of an update, which `finish_update` completes.

    Args:
      loss: loss of the batch.
      optimizer: optax chain.
      state: state before the step.
      batch: argument of the loss.
      key: random key of the loss.
      **optimizer_args: further arguments of the optimiser's update.

    Returns:
      The state with new parameters, the loss, the metrics, and the priorities.
    """
    memory = (state.loss_state,) if jax.tree.leaves(state.loss_state) else ()
    (total, extra), gradients = jax.value_and_grad(loss, has_aux=True)(
        state.params, state.target_params, batch, key, *memory
    )
    updates, optimizer_state = optax.with_extra_args_support(optimizer).update(
        gradients, state.optimizer_state, state.params, **optimizer_args
    )
    params = optax.apply_updates(state.params, updates)
    metrics = {
        **extra.metrics,
        "gradient_norm": optax.global_norm(gradients),
        "parameter_norm": optax.global_norm(params),
    }
    made = state._replace(
        params=params, optimizer_state=optimizer_state, loss_state=extra.loss_state
    )
    return made, total, metrics, extra.priorities


def finish_update(
    target_update: TargetUpdateConfig, state: LearnerState, made: LearnerState, finite: Array
) -> LearnerState:
    """Completes an update: steps and target parameters; keeps `state` if it was not finite."""
    steps = state.steps + 1
    target_params = optax.periodic_update(
        optax.incremental_update(made.params, state.target_params, target_update.rate),
        state.target_params,
        steps,
        target_update.period,
    )
    made = made._replace(target_params=target_params, steps=steps)
    return tree_select(finite, made, state._replace(steps=steps))
