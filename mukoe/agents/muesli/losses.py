"""The loss of Muesli (Hessel et al. 2021, arXiv:2104.06159, sections 3 and 4).

A sample holds `L + 1` rows after `H` rows of history and `U` of a memory's burn-in. Each of the
first `L` is the root of an unroll of `K` steps; states after row `L - 1` have no target and are
masked:

    row              t        t+1       t+2     ...     t+K            L
    model            s_0 --a_t--> s_1 -a_{t+1}-> s_2  ...   s_K
    policy gradient  G_t - v_t                                         (v_L bootstraps)
    π_CMPO           π_t      π_{t+1}   π_{t+2}         π_{t+K}
    value            G_t      G_{t+1}   G_{t+2}         G_{t+K}
    reward                reward[t]  reward[t+1] ...

The targets of a row come from its own observation and the target network: its policy is the
prior, its model gives `q(s, a) = r̂_1 + γ v̂_1`, so `v(s) = Σ_a π_prior(a | s) q(s, a)`. An
`MuesliActions` implements the parts that depend on the kind of actions.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from optax import softmax_cross_entropy as cross_entropy

from mukoe.agents.muesli.actions import make_actions
from mukoe.agents.muesli.cmpo import MovingSecondMoment
from mukoe.agents.muesli.config import MuesliConfig
from mukoe.agents.muesli.look_ahead import LookAhead, MuesliActions, PolicyTarget
from mukoe.agents.planning.augmentation import augment
from mukoe.agents.planning.losses import share_outside_bins
from mukoe.agents.planning.masks import UnrollMasks, unroll_masks
from mukoe.agents.planning.memory import encode_rows
from mukoe.learning.masking import masked_mean
from mukoe.learning.returns import retrace_returns
from mukoe.nests import merge_batch_and_time, take
from mukoe.networks.distributions import Distribution
from mukoe.networks.history import row_inputs
from mukoe.networks.models import MuZeroNetworks
from mukoe.types import (
    Array,
    LossExtra,
    LossFunction,
    Nest,
    Params,
    PerStep,
    Row,
    Sample,
    split_legal_actions,
)


class RowTargets(NamedTuple):
    """Targets of the first `L` rows, without gradient.

    policies: `[B, L, N, ...]` π_CMPO, or its estimate from samples.
    advantages: `[B, L]` `(G - v) / scale` of the stored actions.
    values: `[B, L]` returns `G` by Retrace; 0 in absorbing states.
    rewards: `[B, L]` rewards of the actions; 0 in absorbing states.
    actions: `[B, L]` or `[B, L, D]` actions; random in absorbing states.
    masks: masks of known targets, `[B, L]` each.
    """

    policies: PolicyTarget
    advantages: Array
    values: Array
    rewards: Array
    actions: Array
    masks: UnrollMasks


def make_loss(networks: MuZeroNetworks, config: MuesliConfig, turns: bool = False) -> LossFunction:
    """Returns the pure loss function of a learner; its memory is a `MovingSecondMoment`.

    Args:
      networks: networks of the model.
      config: configuration of the agent.
      turns: two players who take turns; the next value is then the opponent's.
    """
    return functools.partial(_loss, networks, config, make_actions(networks, config, turns))


def make_targets(
    config: MuesliConfig,
    actions: MuesliActions,
    rows: Row,
    look: LookAhead,
    moment: MovingSecondMoment,
    key: chex.PRNGKey,
) -> tuple[RowTargets, MovingSecondMoment, Mapping[str, Array]]:
    """Computes the targets of the first `L` rows.

    Args:
      config: configuration of the agent.
      actions: action space.
      rows: `[B, L + 1, ...]` rows without history.
      look: `[B, L + 1, ...]` estimates of the target network.
      moment: second moment of earlier advantages.
      key: random key of sampled actions and of the actions in absorbing states.

    Returns:
      The targets, the moment with this batch's advantages, and metrics.
    """
    loss = config.loss
    chex.assert_rank(rows.reward, 2)
    chex.assert_equal_shape(
        [rows.reward, rows.discount, rows.mask, look.values, look.taken_values, look.ratios]
    )
    chex.assert_equal_shape([look.prior, look.action_values])
    chex.assert_equal_shape([look.action_values[..., 0], look.values])
    returns = retrace_returns(
        rows.reward,
        rows.discount,
        rows.mask,
        look.taken_values,
        look.values,
        look.ratios,
        loss.retrace_lambda,
        config.discount,
    )
    masks = jax.tree.map(lambda x: x[:, :-1], unroll_masks(rows.discount, rows.mask))
    acted = masks.acted
    look = jax.tree.map(lambda x: x[:, :-1], look)
    errors = (returns - look.values) * acted
    moment = moment.add(masked_mean(errors**2, acted), loss.moment_decay)
    scale = moment.scale(loss.moment_epsilon)
    sample_key, action_key = jax.random.split(key)
    targets = RowTargets(
        policies=actions.improve(look, scale, sample_key),
        advantages=errors / scale,
        values=returns * acted,
        rewards=rows.reward[:, :-1] * acted,
        actions=jnp.where(
            _like(acted, rows.action) > 0,
            rows.action[:, :-1],
            actions.space.uniform(action_key, acted.shape),
        ),
        masks=masks,
    )
    metrics = {
        **_look_ahead_metrics(look, acted, scale, loss.advantage_clip),
        "value_target": masked_mean(returns, acted),
        "value_error": masked_mean(jnp.abs(errors), acted),
    }
    return jax.lax.stop_gradient((targets, moment, metrics))


def _look_ahead_metrics(
    look: LookAhead, acted: PerStep, scale: Array, clip: float
) -> dict[str, Array]:
    """Returns metrics of the advantages and of the ratios of taken actions."""
    clipped = jnp.abs(look.action_values - look.values[..., None]) > clip * scale
    return {
        "advantage_scale": scale,
        "advantage_clipped": masked_mean(jnp.mean(clipped, axis=-1), acted),
        "retrace_ratio": masked_mean(jnp.minimum(look.ratios, 1.0), acted),
    }


def _loss(
    networks: MuZeroNetworks,
    config: MuesliConfig,
    actions: MuesliActions,
    params: Params,
    target_params: Params,
    sample: Sample,
    key: chex.PRNGKey,
    moment: MovingSecondMoment,
) -> tuple[Array, LossExtra]:
    rows = jax.tree.map(lambda array: array[:, config.leading_rows :], sample.rows)
    inputs = row_inputs(sample.rows, config.history, networks.action_space.size)

    def encoded(params: Params, inputs: Nest) -> Nest:
        history, burn_in = config.history, config.memory.burn_in_rows
        return encode_rows(networks.memory, params, inputs, sample.rows, history, burn_in)

    look_key, key, augmentation_key = jax.random.split(key, 3)
    look = actions.look_ahead(target_params, rows, encoded(target_params, inputs), look_key)
    targets, moment, metrics = make_targets(config, actions, rows, look, moment, key)
    roots = encoded(params, augment(inputs, augmentation_key, config.augmentation))
    parts, entropy = _unroll_losses(networks, config, actions, params, rows, roots, targets)
    loss = config.loss
    total = (
        loss.policy_weight
        * (parts["gradient_loss"] + loss.regularizer_weight * parts["regularizer_loss"])
        + loss.model_policy_weight * parts["model_policy_loss"]
        + loss.value_weight * parts["value_loss"]
        + loss.reward_weight * parts["reward_loss"]
    )
    known = targets.masks.known
    metrics = {
        "loss": total,
        **parts,
        "policy_entropy": entropy,
        **metrics,
        "values_outside_bins": share_outside_bins(networks.value_encoding, targets.values, known),
        "rewards_outside_bins": share_outside_bins(
            networks.reward_encoding, targets.rewards, known
        ),
    }
    return total, LossExtra(metrics, None, moment)


def _unroll_losses(
    networks: MuZeroNetworks,
    config: MuesliConfig,
    actions: MuesliActions,
    params: Params,
    rows: Row,
    inputs: Nest,
    targets: RowTargets,
) -> tuple[dict[str, Array], Array]:
    """Returns the losses, as means over all roots, and the policy entropy at the roots."""
    steps = config.loss.unroll_steps
    ahead = [_ahead(targets, k) for k in range(steps + 1)]
    # An action was taken at a root; its unroll may reach absorbing states.
    root = ahead[0].masks.acted
    count = jnp.maximum(jnp.sum(root), 1.0)

    def mean(losses: Array, mask: Array) -> Array:
        return jnp.sum(root * mask * losses) / count

    _, legal = split_legal_actions(rows.observation)
    inputs, legal, extras = merge_batch_and_time(
        take((inputs, legal, dict(rows.extras)), slice(None), slice(-1))
    )
    state = networks.representation(params, inputs)
    prediction = networks.prediction(params, state)
    policy = actions.policy(prediction.policy_logits, legal)
    behavior = actions.behavior(extras)
    taken = ahead[0].actions
    log_ratio = policy.log_prob(taken) - behavior.log_prob(taken)
    ratio = jnp.exp(jnp.where(root > 0, log_ratio, 0.0))
    value_probs = [networks.value_encoding.to_probs(x.values) for x in ahead]
    parts = {
        # rlax.policy_gradient_loss has the same gradient, but takes logits of discrete actions
        # and is not masked; it is the oracle of a test.
        "gradient_loss": mean(-ratio * ahead[0].advantages, root),
        "regularizer_loss": mean(_divergence(actions, ahead[0].policies, policy), root),
        "model_policy_loss": jnp.float32(0.0),
        "value_loss": mean(cross_entropy(prediction.value_logits, value_probs[0]), root),
        "reward_loss": jnp.float32(0.0),
    }
    # A Python loop: the gradient of a convolution inside lax.scan is slow on the CPU.
    for k in range(1, steps + 1):
        before, here = ahead[k - 1], ahead[k]
        state, reward_logits = networks.dynamics(params, state, before.actions)
        prediction = networks.prediction(params, state)
        unrolled = actions.policy(prediction.policy_logits)
        value = cross_entropy(prediction.value_logits, value_probs[k])
        reward_probs = networks.reward_encoding.to_probs(before.rewards)
        reward = cross_entropy(reward_logits, reward_probs)
        divergence = _divergence(actions, here.policies, unrolled)
        parts["model_policy_loss"] += mean(divergence, here.masks.acted) / steps
        parts["value_loss"] += mean(value, here.masks.known) / steps
        parts["reward_loss"] += mean(reward, before.masks.known) / steps
    return parts, mean(policy.entropy(), root)


def _ahead(targets: RowTargets, steps: int) -> RowTargets:
    """Returns the targets `steps` rows ahead, flat `[B L, ...]`; 0 after the last row."""

    def shift(array: Array) -> Array:
        padding = [(0, 0), (0, steps)] + [(0, 0)] * (array.ndim - 2)
        return merge_batch_and_time(jnp.pad(array[:, steps:], padding))

    return jax.tree.map(shift, targets)


def _like(mask: Array, array: Array) -> Array:
    """Returns a mask `[B, L]` with the number of axes of an array `[B, ...]`."""
    return mask.reshape(mask.shape + (1,) * (array.ndim - mask.ndim))


def _divergence(actions: MuesliActions, target: PolicyTarget, policy: Distribution) -> Array:
    """Returns `KL(target, policy)` `[...]`, or its estimate from samples."""
    log_probs = actions.log_probs(policy, target)
    return jnp.sum(target.weights * (target.log_probs - log_probs), axis=-1)
