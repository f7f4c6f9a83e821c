"""Overfitting of one batch, and the gradients of its loss by part of the network."""

import itertools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np
import optax

from mukoe.agents.extensions import rollout_of
from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.subject import Subject
from mukoe.learning.learner import Learner
from mukoe.learning.update import TargetUpdateConfig
from mukoe.types import Params

_OVERFIT, _GRADIENTS = "one batch is overfitted", "every part has a gradient"
_LEARNING_RATE, _MOST_NORM = 2e-3, 5.0
_NEVER = 2**31 - 1


class Overfitted(NamedTuple):
    """Result of overfitting.

    params: parameters at the end.
    losses: loss of every update; the value loss for an agent that learns from rollouts.
    """

    params: Params
    losses: np.ndarray


def overfit(
    subject: Subject, num_updates: int, on_update: Callable[[int], None] = lambda _: None
) -> Overfitted:
    """Makes updates on one batch, with targets that do not change.

    Args:
      subject: agent under diagnosis.
      num_updates: number of updates of Adam.
      on_update: called with the number of updates so far.
    """
    builder = subject.experiment.builder
    settings = builder.learner_settings(subject.networks)
    learner = Learner(
        builder.make_loss(subject.networks, subject.environment_spec),
        optax.chain(optax.clip_by_global_norm(_MOST_NORM), optax.adam(_LEARNING_RATE)),
        subject.params,
        itertools.repeat(subject.sample),
        jax.random.PRNGKey(0),
        target_update=TargetUpdateConfig(period=_NEVER),
        loss_state=settings.loss_state,
        devices=jax.local_devices()[:1],
        update=settings.update,
    )
    # A policy gradient does not fall on one batch: its advantages are computed anew.
    metric = "value_loss" if rollout_of(builder) else "loss"
    losses = []
    for update in range(num_updates):
        losses.append(float(learner.step()[metric]))
        on_update(update + 1)
    return Overfitted(learner.save().params, np.asarray(losses))


def check_overfit(overfitted: Overfitted, clips_values: bool = False) -> Finding:
    """Judges the loss of the last updates beside that of the first ones.

    Args:
      overfitted: result of `overfit`.
      clips_values: True if values are clipped around those of the rollout, so that they cannot
        fit it.
    """
    losses = overfitted.losses
    tail = max(len(losses) // 10, 1)
    first, last = float(losses[0]), float(np.mean(losses[-tail:]))
    text = f"loss {first:.4g} at the start, {last:.4g} after {len(losses)} updates"
    if not np.all(np.isfinite(losses)):
        text = f"the loss is not finite from update {int(np.argmin(np.isfinite(losses)))} on"
        return Finding(_OVERFIT, "fault", text, curve=losses.tolist())
    if last >= 0.9 * first and clips_values:
        text += ": agent.loss.clip_values holds values near those of the rollout"
        return Finding(_OVERFIT, "unknown", text, curve=losses.tolist())
    if last >= 0.9 * first:
        text += ": the loss does not fall on data that it sees again and again"
        return Finding(_OVERFIT, "fault", text, curve=losses.tolist())
    return Finding(_OVERFIT, "ok", text, curve=losses.tolist())


def check_changes(before: Params, after: Params) -> Finding:
    """Compares the parameters before and after the updates, by module of the network.

    It takes the place of `check_gradients` for a loss whose batch the update prepares.
    """
    squares = {
        module: sum(
            float(np.sum(np.square(np.asarray(new) - np.asarray(old))))
            for old, new in zip(
                jax.tree.leaves(before[module]), jax.tree.leaves(arrays), strict=True
            )
        )
        for module, arrays in after.items()
    }
    norms = _by_part(squares)
    table = [["part", "change"], *([k, f"{v**0.5:.3g}"] for k, v in norms.items())]
    without = [part for part, square in norms.items() if square == 0]
    if without:
        text = f"no change in {', '.join(without)}: the loss does not reach it"
        return Finding(_GRADIENTS, "fault", text, table)
    return Finding(_GRADIENTS, "ok", f"{len(norms)} parts, all changed by the updates", table)


def _by_part(squares: Mapping[str, float]) -> dict[str, float]:
    """Returns the sums of the modules of each part of the network."""
    parts: dict[str, float] = {}
    for module, square in squares.items():
        part = "/".join(module.split("/~/")[0].split("/")[:2])
        parts[part] = parts.get(part, 0.0) + square
    return parts


def batch_gradient(subject: Subject, params: Params) -> Params:
    """Returns the gradient of the loss of the batch, by module of the network.

    Args:
      subject: agent under diagnosis.
      params: parameters; the initial ones have last layers of zeros, behind which there is no
        gradient.
    """
    builder = subject.experiment.builder
    loss = builder.make_loss(subject.networks, subject.environment_spec)
    state = builder.learner_settings(subject.networks).loss_state
    extra = (state,) if jax.tree.leaves(state) else ()
    sample = subject.sample._replace(learner_steps=np.int32(0))
    return jax.jit(jax.grad(lambda p, *rest: loss(p, *rest)[0]))(
        params, subject.params, sample, jax.random.PRNGKey(1), *extra
    )


def check_gradients(gradient: Params) -> Finding:
    """Computes the norm of a gradient by part of the network."""
    norms = _by_part(
        {
            module: sum(float(np.sum(np.square(x))) for x in jax.tree.leaves(arrays))
            for module, arrays in gradient.items()
        }
    )
    table = [["part", "gradient norm"], *([k, f"{v**0.5:.3g}"] for k, v in norms.items())]
    without = [part for part, square in norms.items() if square == 0]
    if without:
        text = f"no gradient in {', '.join(without)}: the loss does not reach it"
        return Finding(_GRADIENTS, "fault", text, table)
    return Finding(_GRADIENTS, "ok", f"{len(norms)} parts, none without", table)
