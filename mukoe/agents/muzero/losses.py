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
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
from optax import softmax_cross_entropy as cross_entropy

from mukoe.agents.muzero.config import MuZeroConfig, MuZeroLossConfig
from mukoe.learning.returns import UnrollMasks, td_lambda_returns, unroll_masks
from mukoe.networks.history import stack_rows
from mukoe.networks.models import MuZeroNetworks
from mukoe.networks.prediction import Prediction
from mukoe.networks.value_encoding import ValueEncoding
from mukoe.types import Array, LossExtra, LossFunction, Params, Row, Sample, split_legal_actions


class UnrollTargets(NamedTuple):
    """What the unrolled model is compared with, for `K + 1` states.

    policies: `[B, K+1, A]` search policies.
    values: `[B, K+1]` returns; 0 in absorbing states.
    rewards: `[B, K+1]` reward of the action taken at each state; 0 in absorbing ones.
    actions: `[B, K+1]`, random ones in absorbing states.
    masks: which of them are known, `[B, K+1]` each.
    """

    policies: Array
    values: Array
    rewards: Array
    actions: Array
    masks: UnrollMasks


class UnrollLosses(NamedTuple):
    """What an unrolled model has to answer for.

    losses: `[B]` each, by name.
    root_value: `[B]`, predicted at the root.
    metrics: scalars.
    """

    losses: Mapping[str, Array]
    root_value: Array
    metrics: Mapping[str, Array]


class RootNetworks(Protocol):
    """What the targets need of the networks, such as `MuZeroNetworks`."""

    @property
    def representation(self) -> Callable[[Params, Array], Array]: ...
    @property
    def prediction(self) -> Callable[[Params, Array], Prediction]: ...
    @property
    def value_encoding(self) -> ValueEncoding: ...
    @property
    def num_actions(self) -> int: ...


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
      config: unroll, n, λ and discount.
    """
    masks = unroll_masks(rows.discount, rows.mask)
    returns = td_lambda_returns(
        rows.reward,
        rows.discount,
        rows.mask,
        values,
        config.loss.td_steps,
        config.search.discount,
        config.loss.td_lambda,
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
    targets = sample_targets(networks, config, target_params, sample, key)
    root = network_inputs(networks, config, sample.rows, steps=1)[:, 0]
    unrolled = _unroll_losses(networks, config, params, root, targets)
    return total_loss(config, loss_weights(config.loss), sample, targets, unrolled)


def sample_targets(
    networks: RootNetworks,
    config: MuZeroConfig,
    target_params: Params,
    sample: Sample,
    key: chex.PRNGKey,
) -> UnrollTargets:
    """`make_targets` of a sample with history, bootstrapped as the config says."""
    history = config.history.frames - 1
    rows = jax.tree.map(lambda array: array[:, history:], sample.rows)
    if config.loss.bootstrap == "target":
        values = _target_network_values(networks, config, target_params, sample.rows)
    else:
        values = rows.extras["search_value"]
    return make_targets(rows, values, key, networks.num_actions, config)


def loss_weights(config: MuZeroLossConfig) -> dict[str, float]:
    """The weights of MuZero's losses by their names."""
    return {
        "policy_loss": config.policy_weight,
        "value_loss": config.value_weight,
        "reward_loss": config.reward_weight,
    }


def total_loss(
    config: MuZeroConfig,
    weights: Mapping[str, float],
    sample: Sample,
    targets: UnrollTargets,
    unrolled: UnrollLosses,
) -> tuple[Array, LossExtra]:
    """Weighs losses by name and by importance; the priorities are those of appendix G."""
    importance = importance_weights(sample.probabilities, config.replay.importance_exponent)
    losses = unrolled.losses
    per_sample = sum(weight * losses[name] for name, weight in weights.items())
    total = jnp.mean(importance * per_sample)
    error = jnp.abs(unrolled.root_value - targets.values[:, 0])
    metrics = {
        "loss": total,
        **{name: jnp.mean(importance * loss) for name, loss in losses.items()},
        **unrolled.metrics,
        "value_target": jnp.mean(targets.values[:, 0]),
        "value_error": jnp.mean(error),
        "importance_weight": jnp.mean(importance),
    }
    priorities = jax.lax.stop_gradient(error) + config.replay.priority_epsilon
    return total, LossExtra(metrics, priorities)


def _unroll_losses(
    networks: MuZeroNetworks,
    config: MuZeroConfig,
    params: Params,
    root: Array,
    targets: UnrollTargets,
) -> UnrollLosses:
    """Unrolls the model and compares it with the targets.

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
        "policy_entropy": jnp.mean(policy_entropy(prediction.policy_logits)),
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
    losses = {"policy_loss": policy_loss, "value_loss": value_loss, "reward_loss": reward_loss}
    return UnrollLosses(losses, root_value, metrics)


def network_inputs(
    networks: RootNetworks, config: MuZeroConfig, rows: Row, steps: int | None
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
    networks: RootNetworks, config: MuZeroConfig, target_params: Params, rows: Row
) -> Array:
    """The target network's values `[B, K+n+1]` of all rows behind the history."""
    inputs = network_inputs(networks, config, rows, steps=None)
    flat = inputs.reshape((-1, *inputs.shape[2:]))
    state = networks.representation(target_params, flat)
    logits = networks.prediction(target_params, state).value_logits
    values = networks.value_encoding.to_scalar(logits)
    return jax.lax.stop_gradient(values.reshape(inputs.shape[:2]))


def policy_entropy(logits: Array) -> Array:
    """The entropy in nats `[...]` of logits `[..., A]`."""
    return cross_entropy(logits, jax.nn.softmax(logits))
