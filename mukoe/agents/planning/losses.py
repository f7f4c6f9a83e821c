"""Weighting of the losses of planning agents, and priorities (arXiv:1911.08265, appendix G).

Categorical losses and entropies are optax's, which take batches of soft targets; rlax's take one
entry (`rlax.softmax`) and are the oracle of a test.
"""

from collections.abc import Mapping
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from optax import softmax_cross_entropy as cross_entropy

from mukoe.agents.planning.config import (
    LearnedModelConfig,
    PlanningReplayConfig,
    UnrollLossConfig,
)
from mukoe.agents.planning.root import RootNetworks
from mukoe.agents.planning.targets import UnrollTargets
from mukoe.learning.masking import masked_mean
from mukoe.networks.action_space import ActionSpace
from mukoe.networks.distributions import candidate_log_probs
from mukoe.networks.prediction import Prediction
from mukoe.networks.value_encoding import ValueEncoding
from mukoe.shapes import check_shape
from mukoe.types import Array, LossExtra, PerAction, PerEntry, PerStep, Sample


class UnrollLosses(NamedTuple):
    """Per-sample losses and diagnostics of one model unroll.

    losses: `[B]` losses by name.
    root_value: `[B]` predicted value at the root; `[B, P]` with three and more players.
    metrics: scalars by name.
    """

    losses: Mapping[str, PerEntry]
    root_value: PerEntry
    metrics: Mapping[str, Array]

    def with_loss(self, name: str, loss: PerEntry) -> "UnrollLosses":
        """Returns these losses and one more, `[B]`."""
        return self._replace(losses={**self.losses, name: loss})


def importance_weights(probabilities: PerEntry, exponent: float) -> PerEntry:
    """Returns `(1 / P)^β` over the batch's largest, `[B]` (Schaul et al. 2016, section 3.4)."""
    weights = probabilities**-exponent
    return weights / jnp.max(weights)


def loss_weights(config: LearnedModelConfig) -> dict[str, float]:
    """Returns the weights of an unroll's losses by name."""
    weights = {
        "policy_loss": config.loss.policy_weight,
        "value_loss": config.loss.value_weight,
        "reward_loss": config.loss.reward_weight,
    }
    if config.consistency.weight:
        weights["consistency_loss"] = config.consistency.weight
    return weights


def total_loss(
    config: PlanningReplayConfig,
    weights: Mapping[str, float],
    sample: Sample,
    targets: UnrollTargets,
    unrolled: UnrollLosses,
) -> tuple[Array, LossExtra]:
    """Sums losses by their weights and importance weights.

    Args:
      config: exponents of replay.
      weights: weights of the losses by name.
      sample: batch, for its probabilities.
      targets: targets of the unroll.
      unrolled: losses of the unroll.

    Returns:
      The loss `[]`, and metrics and priorities `|root value - target|` (appendix G).
    """
    importance = importance_weights(sample.probabilities, config.importance_exponent)
    losses = unrolled.losses
    chex.assert_equal_shape([importance, *losses.values()])
    chex.assert_equal_shape([unrolled.root_value, targets.values[:, 0]])
    per_sample = sum(weight * losses[name] for name, weight in weights.items())
    total = jnp.mean(importance * per_sample)
    error = player_mean(jnp.abs(unrolled.root_value - targets.values[:, 0]))
    metrics = {
        "loss": total,
        **{name: jnp.mean(importance * loss) for name, loss in losses.items()},
        **unrolled.metrics,
        "value_target": jnp.mean(targets.values[:, 0]),
        "value_error": jnp.mean(error),
        "importance_weight": jnp.mean(importance),
    }
    if targets.ages is not None:
        metrics["sample_age"] = jnp.mean(targets.ages)
    priorities = jax.lax.stop_gradient(error) + config.priority_epsilon
    return total, LossExtra(metrics, priorities)


def player_mean(numbers: Array, weights: Array | None = None) -> PerEntry:
    """Returns means over players `[B]` of numbers `[B, P]`; numbers `[B]` as they are.

    Args:
      numbers: `[B]`, or `[B, P]` with three and more players.
      weights: weights `[B, P]` of the players, such as 1 for those in the game; None for 1.
    """
    if numbers.ndim == 1:
        return numbers
    if weights is None:
        return jnp.mean(numbers, axis=-1)
    return jnp.sum(weights * numbers, axis=-1) / jnp.maximum(jnp.sum(weights, axis=-1), 1.0)


def share_outside_bins(encoding: ValueEncoding, targets: PerStep, mask: PerStep) -> jax.Array:
    """Returns the share `[]` of targets that the bins of an encoding clip.

    Args:
      encoding: encoding of the targets.
      targets: `[B, T]` values or rewards; `[B, T, P]` with three and more players.
      mask: `[B, T]`, 1 where a target is known.
    """
    outside = encoding.is_outside(targets)
    if outside.ndim > mask.ndim:
        outside = jnp.mean(outside, axis=-1)
    return masked_mean(outside, mask)


def check_prediction(networks: RootNetworks, prediction: Prediction, batch_size: int) -> None:
    """Checks the shapes of a prediction.

    Args:
      networks: networks, for the numbers of actions and bins.
      prediction: prediction for a batch of states.
      batch_size: `B`.

    Raises:
      UserError: the logits are not `[B, A]` and `[B, bins]`, with three and more players
        `[B, P, bins]`.
    """
    num_bins, players = networks.value_encoding.num_bins, networks.num_players
    check_shape(
        "policy_logits [B, A]",
        prediction.policy_logits,
        (batch_size, networks.action_space.num_outputs),
    )
    bins = (num_bins,) if players is None else (players, num_bins)
    check_shape("value_logits [B, bins]", prediction.value_logits, (batch_size, *bins))


def policy_losses(
    action_space: ActionSpace,
    config: UnrollLossConfig,
    outputs: Array,
    targets: UnrollTargets,
    step: int,
) -> jax.Array:
    """Returns the cross-entropy `-Σ_a π'(a) log π(a)` `[B]`, less the entropy bonus.

    The sum is over all actions, or over the candidates of the search as they are: their prior in
    the search has weighted them (Sampled MuZero, arXiv:2104.06303, section 4.2). The cross-entropy
    with stored actions is added to it, or replaces it, where they are cloned.

    Args:
      action_space: actions of the environment.
      config: form of the target, and weight of the entropy.
      outputs: `[B, O]` outputs of the policy head.
      targets: targets of the unroll.
      step: unroll step of the outputs.
    """
    target = targets.policies[:, step]
    if config.policy_target == "best":
        target = jax.nn.one_hot(jnp.argmax(target, axis=-1), target.shape[-1])
    if targets.candidates is None:
        loss = cross_entropy(outputs, target)
    else:
        policy = action_space.policy(outputs)
        log_probs = candidate_log_probs(policy, targets.candidates[:, step], axis=1)
        loss = -jnp.sum(target * log_probs, axis=-1)
    loss = _with_cloning(action_space, loss, outputs, targets, step)
    if not config.entropy_weight:
        return loss
    return loss - config.entropy_weight * action_space.policy(outputs).entropy()


def full_search_losses(
    action_space: ActionSpace, logits: PerAction, targets: UnrollTargets, step: int
) -> PerEntry:
    """Returns the cross-entropy `[B]` with search policies over all actions, and cloned actions.

    Args:
      action_space: actions of the environment.
      logits: `[B, A]` logits of the policy.
      targets: targets of the unroll.
      step: unroll step of the logits, 0 for the root.
    """
    loss = cross_entropy(logits, targets.policies[:, step])
    return _with_cloning(action_space, loss, logits, targets, step)


def _with_cloning(
    action_space: ActionSpace,
    loss: PerEntry,
    outputs: Array,
    targets: UnrollTargets,
    step: int,
) -> PerEntry:
    """Returns the losses `[B]` of a policy by its targets: search policies and stored actions.

    Args:
      action_space: actions of the environment.
      loss: `[B]` cross-entropy with the search policy.
      outputs: `[B, O]` outputs of the policy head.
      targets: targets of the unroll, with the weights of both (`CloningConfig`).
      step: unroll step of the outputs, 0 for the root.
    """
    weights = targets.policy_weights
    if weights is None:
        return loss
    taken = -action_space.policy(outputs).log_prob(targets.actions[:, step])
    return weights.search * loss + weights.stored * taken


def cloning_metrics(
    action_space: ActionSpace, outputs: Array, targets: UnrollTargets
) -> dict[str, Array]:
    """Returns metrics of the cloned actions at the roots; empty without cloning.

    Args:
      action_space: actions of the environment.
      outputs: `[B, O]` outputs of the policy head at the roots.
      targets: targets of the unroll.

    Returns:
      `cloning_loss`, the mean cross-entropy (nats) with the cloned actions, and, for discrete
      actions, `cloning_agreement`, the share of them that are the most probable action.
    """
    weights = targets.policy_weights
    if weights is None:
        return {}
    policy, actions = action_space.policy(outputs), targets.actions[:, 0]
    cloned = targets.masks.acted[:, 0] * (weights.stored > 0)
    metrics = {"cloning_loss": masked_mean(-policy.log_prob(actions), cloned)}
    if action_space.num_choices is not None:
        equal = jnp.reshape(policy.mode() == actions, (*cloned.shape, -1))
        metrics["cloning_agreement"] = masked_mean(jnp.all(equal, axis=-1), cloned)
    return metrics


def policy_entropy(logits: PerAction) -> Array:
    """Returns the entropy in nats `[...]` of logits `[..., A]`."""
    return cross_entropy(logits, jax.nn.softmax(logits))
