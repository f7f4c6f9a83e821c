"""The optimiser, from a config, and schedules of the learning rate."""

import dataclasses
from typing import Annotated, Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from msgspec import Meta

from mukoe.configuration.bounds import LARGEST_COUNT, NonNegativeFloat, PositiveFloat
from mukoe.configuration.fields import Validated
from mukoe.types import Array


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(Validated):
    """Settings of the optimiser."""

    # 'adamw' (MuZero Unplugged, arXiv:2104.06294) or 'sgd' with momentum (MuZero).
    name: Literal["adamw", "sgd"] = "adamw"
    # Learning rate, after the warm-up.
    learning_rate: NonNegativeFloat = 1e-3
    # Updates over which the learning rate rises linearly from 0.
    warmup_steps: Annotated[int, Meta(ge=0, le=LARGEST_COUNT)] = 0
    # Schedule after the warm-up, from whose end `decay_steps` count: 'constant'; 'cosine' or
    # 'linear' to 0 at `decay_steps`; 'staircase' times `decay_rate` at every `decay_steps`.
    schedule: Literal["constant", "cosine", "linear", "staircase"] = "constant"
    # Updates until the end ('cosine', 'linear') or between two steps ('staircase') of the decay.
    decay_steps: Annotated[int, Meta(ge=1, le=LARGEST_COUNT)] = 1_000_000
    # Factor of the learning rate at each step of 'staircase'.
    decay_rate: Annotated[float, Meta(gt=0, le=1)] = 0.1
    # Decoupled from the gradient (adamw), or as an L2 loss (sgd).
    weight_decay: NonNegativeFloat = 1e-4
    # Momentum; only for sgd.
    momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    # Added to the denominator; only for adamw.
    epsilon: PositiveFloat = 1e-8
    # Largest global norm of the gradients, to which they are clipped; 0 disables clipping.
    max_gradient_norm: NonNegativeFloat = 5.0


def learning_rate_schedule(config: OptimizerConfig) -> optax.Schedule:
    """Returns the learning rate as a function of the number of updates so far."""
    after_warmup = {
        "constant": lambda: optax.constant_schedule(config.learning_rate),
        "cosine": lambda: optax.cosine_decay_schedule(config.learning_rate, config.decay_steps),
        "linear": lambda: optax.linear_schedule(config.learning_rate, 0.0, config.decay_steps),
        "staircase": lambda: optax.exponential_decay(
            config.learning_rate, config.decay_steps, config.decay_rate, staircase=True
        ),
    }[config.schedule]()
    if not config.warmup_steps:
        return after_warmup
    warmup = optax.linear_schedule(0.0, config.learning_rate, config.warmup_steps)
    return optax.join_schedules([warmup, after_warmup], [config.warmup_steps])


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
    """Builds the chain: clipping, the optimiser, the schedule."""
    schedule = learning_rate_schedule(config)
    clip = [optax.clip_by_global_norm(config.max_gradient_norm)] if config.max_gradient_norm else []
    if config.name == "adamw":
        adamw = optax.adamw(schedule, eps=config.epsilon, weight_decay=config.weight_decay)
        return optax.chain(*clip, adamw)
    return optax.chain(
        *clip,
        optax.add_decayed_weights(config.weight_decay),
        optax.sgd(schedule, momentum=config.momentum),
    )


class AnnealingState(NamedTuple):
    """State of `anneal_over_agent_steps`: the agent steps so far, `[]` int32."""

    agent_steps: Array


def anneal_over_agent_steps(num_steps: int) -> optax.GradientTransformationExtraArgs:
    """Scales updates by `max(0, 1 - steps / num_steps)`, which anneals any learning rate.

    A schedule of optax counts updates. An update learns from fewer agent steps where episodes are
    short: the final observation of an episode is a row of its rollout, but not a step.

    Args:
      num_steps: agent steps of the run, after which updates are 0.
    """

    def init(params: optax.Params) -> AnnealingState:
        del params
        return AnnealingState(jnp.int32(0))

    def update(
        updates: optax.Updates,
        state: AnnealingState,
        params: optax.Params | None = None,
        *,
        agent_steps: chex.Numeric,
        **extra_args: Any,
    ) -> tuple[optax.Updates, AnnealingState]:
        """Scales `updates`, which learn from `agent_steps` more steps."""
        del params, extra_args
        scale = jnp.maximum(0.0, 1.0 - state.agent_steps / num_steps)
        scaled = jax.tree.map(lambda update: scale * update, updates)
        return scaled, AnnealingState(state.agent_steps + agent_steps)

    return optax.GradientTransformationExtraArgs(init, update)
