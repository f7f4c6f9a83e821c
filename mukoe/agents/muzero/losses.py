"""The loss of MuZero (arXiv:1911.08265, equation 1 and appendix G), from stored rows.

A sample holds rows `t .. t+K+n` behind `H` rows of history. The model is unrolled from
`o_t` along the actions that were taken:

    row             t        t+1       t+2     ...     t+K        ...    t+K+n
    model        s_0 --a_t--> s_1 -a_{t+1}-> s_2  ...   s_K
    policy       π_t        π_{t+1}    π_{t+2}         π_{t+K}     where an action was taken
    value        z_t        z_{t+1}    z_{t+2}         z_{t+K}     n-step returns
    reward            reward[t]  reward[t+1] ...                   what the action led to
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from optax import softmax_cross_entropy as cross_entropy

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.learning.targets import UnrollMasks, n_step_returns, unroll_masks
from mukoe.networks.history import stack_rows
from mukoe.networks.models import MuZeroNetworks
from mukoe.types import Array, LossExtra, LossFunction, Params, Row, Sample, split_legal_actions


class UnrollTargets(NamedTuple):
    """What the unrolled model is compared with, for `K + 1` states.

    policies: `[B, K+1, A]` search policies.
    values: `[B, K+1]` n-step returns; 0 in absorbing states.
    rewards: `[B, K+1]` reward of the action taken at each state; 0 in absorbing ones.
    actions: `[B, K+1]`, random ones in absorbing states.
    masks: which of them are known, `[B, K+1]` each.
    """

    policies: Array
    values: Array
    rewards: Array
    actions: Array
    masks: UnrollMasks


def make_loss(networks: MuZeroNetworks, config: MuZeroConfig) -> LossFunction:
    """Returns the pure loss function of a learner."""
    return functools.partial(_loss, networks, config)


def make_targets(
    rows: Row, values: Array, key: chex.PRNGKey, num_actions: int, config: MuZeroConfig
) -> UnrollTargets:
    """Computes the targets of an unroll.

    Args:
      rows: `[B, K+n+1, ...]` without history.
      values: `[B, K+n+1]`, what the returns are bootstrapped with.
      key: of the actions in absorbing states, where every action leads nowhere.
      num_actions: `A`.
      config: unroll, n and discount.
    """
    masks = unroll_masks(rows.discount, rows.mask)
    returns = n_step_returns(
        rows.reward, rows.discount, rows.mask, values, config.loss.td_steps, config.search.discount
    )
    states = returns.shape[1]
    masks = jax.tree.map(lambda mask: mask[:, :states], masks)
    random_actions = jax.random.randint(key, returns.shape, 0, num_actions)
    acted = masks.acted
    return UnrollTargets(
        policies=rows.extras["search_policy"][:, :states],
        values=returns * acted,
        rewards=rows.reward[:, :states] * acted,
        actions=jnp.where(acted > 0, rows.action[:, :states], random_actions),
        masks=masks,
    )


def importance_weights(probabilities: Array, exponent: float) -> Array:
    """`(1 / P)^β` over the batch's largest, `[B]` (Schaul et al. 2016, section 3.4)."""
    weights = probabilities**-exponent
    return weights / jnp.max(weights)


def _loss(
    networks: MuZeroNetworks,
    config: MuZeroConfig,
    params: Params,
    target_params: Params,
    sample: Sample,
    key: chex.PRNGKey,
) -> tuple[Array, LossExtra]:
    history = config.history.frames - 1
    rows = jax.tree.map(lambda array: array[:, history:], sample.rows)
    if config.loss.bootstrap == "target":
        values = _target_network_values(networks, config, target_params, sample.rows)
    else:
        values = rows.extras["search_value"]
    targets = make_targets(rows, values, key, networks.num_actions, config)
    root = _network_inputs(networks, config, sample.rows, steps=1)[:, 0]

    parts, root_value, metrics = _unroll_losses(networks, config, params, root, targets)
    weights = importance_weights(sample.probabilities, config.replay.importance_exponent)
    loss = config.loss
    per_sample = (
        loss.policy_weight * parts["policy_loss"]
        + loss.value_weight * parts["value_loss"]
        + loss.reward_weight * parts["reward_loss"]
    )
    total = jnp.mean(weights * per_sample)
    error = jnp.abs(root_value - targets.values[:, 0])
    metrics = {
        "loss": total,
        **{name: jnp.mean(weights * part) for name, part in parts.items()},
        **metrics,
        "value_target": jnp.mean(targets.values[:, 0]),
        "value_error": jnp.mean(error),
        "importance_weight": jnp.mean(weights),
    }
    priorities = jax.lax.stop_gradient(error) + config.replay.priority_epsilon
    return total, LossExtra(metrics, priorities)


def _unroll_losses(
    networks: MuZeroNetworks,
    config: MuZeroConfig,
    params: Params,
    root: Array,
    targets: UnrollTargets,
) -> tuple[Mapping[str, Array], Array, Mapping[str, Array]]:
    """Returns the losses `[B]`, the value at the root `[B]`, and metrics.

    The root counts fully, each of the K states behind it by 1/K (appendix G).
    """
    value_probs = networks.value_encoding.to_probs(targets.values)
    reward_probs = networks.reward_encoding.to_probs(targets.rewards)
    acted, known = targets.masks.acted, targets.masks.known

    state = networks.representation(params, root)
    prediction = networks.prediction(params, state)
    root_value = networks.value_encoding.to_scalar(prediction.value_logits)
    policy_loss = acted[:, 0] * cross_entropy(prediction.policy_logits, targets.policies[:, 0])
    value_loss = known[:, 0] * cross_entropy(prediction.value_logits, value_probs[:, 0])
    reward_loss = jnp.zeros_like(value_loss)
    metrics = {
        "policy_entropy": jnp.mean(_entropy(prediction.policy_logits)),
        "root_value": jnp.mean(root_value),
        "root_policy_loss": jnp.mean(policy_loss),
        "root_value_loss": jnp.mean(value_loss),
    }
    # A Python loop: the gradient of a convolution inside lax.scan is slow on the CPU.
    steps = config.loss.unroll_steps
    for k in range(1, steps + 1):
        state, reward_logits = networks.dynamics(params, state, targets.actions[:, k - 1])
        prediction = networks.prediction(params, state)
        policy = cross_entropy(prediction.policy_logits, targets.policies[:, k])
        value = cross_entropy(prediction.value_logits, value_probs[:, k])
        reward = cross_entropy(reward_logits, reward_probs[:, k - 1])
        policy_loss += acted[:, k] * policy / steps
        value_loss += known[:, k] * value / steps
        reward_loss += known[:, k - 1] * reward / steps
    parts = {"policy_loss": policy_loss, "value_loss": value_loss, "reward_loss": reward_loss}
    return parts, root_value, metrics


def _network_inputs(
    networks: MuZeroNetworks, config: MuZeroConfig, rows: Row, steps: int | None
) -> Array:
    """The first `steps` network inputs `[B, steps, ...]` of rows with history."""
    end = None if steps is None else config.history.frames - 1 + steps
    features, _ = split_legal_actions(rows.observation)
    return stack_rows(
        features[:, :end],
        rows.action[:, :end],
        rows.mask[:, :end],
        config.history,
        networks.num_actions,
    )


def _target_network_values(
    networks: MuZeroNetworks, config: MuZeroConfig, target_params: Params, rows: Row
) -> Array:
    """The target network's values `[B, K+n+1]` of all rows behind the history."""
    inputs = _network_inputs(networks, config, rows, steps=None)
    flat = inputs.reshape((-1, *inputs.shape[2:]))
    state = networks.representation(target_params, flat)
    logits = networks.prediction(target_params, state).value_logits
    values = networks.value_encoding.to_scalar(logits)
    return jax.lax.stop_gradient(values.reshape(inputs.shape[:2]))


def _entropy(logits: Array) -> Array:
    return cross_entropy(logits, jax.nn.softmax(logits))
