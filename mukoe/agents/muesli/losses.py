"""The loss of Muesli (Hessel et al. 2021, arXiv:2104.06159, sections 3 and 4).

A sample holds `L + 1` rows behind `H` rows of history. Each of the first `L` is the root of
an unroll of `K` steps; what lies behind row `L - 1` has no target and is masked:

    row              t        t+1       t+2     ...     t+K            L
    model            s_0 --a_t--> s_1 -a_{t+1}-> s_2  ...   s_K
    policy gradient  G_t - v_t                                         (v_L bootstraps)
    π_CMPO           π_t      π_{t+1}   π_{t+2}         π_{t+K}
    value            G_t      G_{t+1}   G_{t+2}         G_{t+K}
    reward                reward[t]  reward[t+1] ...

The targets of a row come from its own observation and the target network: its policy is the
prior, its model gives `q(s, a) = r̂_1 + γ v̂_1`, so `v(s) = Σ_a π_prior(a | s) q(s, a)`.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from optax import softmax_cross_entropy as cross_entropy

from mukoe.agents.muesli.cmpo import MovingSecondMoment, cmpo_policy, sampled_cmpo_target
from mukoe.agents.muesli.config import MuesliConfig
from mukoe.agents.muesli.policy import mask_logits
from mukoe.learning.targets import UnrollMasks, retrace_returns, unroll_masks
from mukoe.networks.history import stack_rows
from mukoe.networks.models import MuZeroNetworks
from mukoe.types import Array, LossExtra, LossFunction, Params, Row, Sample, split_legal_actions


class RowTargets(NamedTuple):
    """What is known of the first `L` rows; constants.

    policies: `[B, L, A]` π_CMPO, or the estimate of it from samples.
    advantages: `[B, L]` `(G - v) / scale` of the actions that were taken.
    values: `[B, L]` `G`, by Retrace; 0 in absorbing states.
    rewards: `[B, L]` what the actions led to; 0 in absorbing states.
    actions: `[B, L]`, random ones in absorbing states.
    masks: which of them are known, `[B, L]` each.
    """

    policies: Array
    advantages: Array
    values: Array
    rewards: Array
    actions: Array
    masks: UnrollMasks


def make_loss(networks: MuZeroNetworks, config: MuesliConfig, turns: bool = False) -> LossFunction:
    """Returns the pure loss function of a learner; its memory is a `MovingSecondMoment`.

    Args:
      networks: the model.
      config: of the agent.
      turns: whether two players take turns, so that the next value is the opponent's.
    """
    return functools.partial(_loss, networks, config, -1.0 if turns else 1.0)


def mixed_prior(target: Array, behavior: Array, legal: Array, config: MuesliConfig) -> Array:
    """`(1 - b - u) π_target + b π_b + u uniform`, `[..., A]`; uniform over legal actions."""
    loss = config.loss
    uniform = legal / jnp.sum(legal, axis=-1, keepdims=True)
    rest = 1.0 - loss.prior_behavior - loss.prior_uniform
    return rest * target + loss.prior_behavior * behavior + loss.prior_uniform * uniform


def one_step_values(
    networks: MuZeroNetworks, params: Params, state: Array, discount: float
) -> Array:
    """`q(s, a) = r̂_1 + γ v̂_1` of all actions by one model step, `[N, A]` of states `[N, ...]`."""

    def look(action: Array) -> Array:
        actions = jnp.full(state.shape[:1], action)
        next_state, reward_logits = networks.dynamics(params, state, actions)
        value_logits = networks.prediction(params, next_state).value_logits
        reward = networks.reward_encoding.to_scalar(reward_logits)
        return reward + discount * networks.value_encoding.to_scalar(value_logits)

    return jax.vmap(look, out_axes=1)(jnp.arange(networks.num_actions))


def look_ahead(
    networks: MuZeroNetworks,
    config: MuesliConfig,
    turn_sign: float,
    target_params: Params,
    rows: Row,
    inputs: Array,
) -> tuple[Array, Array]:
    """Returns prior and action values of the target network, `[B, L + 1, A]` each.

    Args:
      networks: the model.
      config: of the agent.
      turn_sign: -1 where the value after an action is the opponent's.
      target_params: of the target network.
      rows: `[B, L + 1, ...]` without history.
      inputs: `[B, L + 1, ...]` network inputs.
    """
    state = networks.representation(target_params, _flat(inputs))
    logits = networks.prediction(target_params, state).policy_logits
    values = one_step_values(networks, target_params, state, turn_sign * config.loss.discount)
    logits, values = (x.reshape((*inputs.shape[:2], -1)) for x in (logits, values))
    _, legal = split_legal_actions(rows.observation)
    target_policy = jax.nn.softmax(mask_logits(logits, legal))
    uniform_over = jnp.ones_like(values) if legal is None else legal.astype(values.dtype)
    prior = mixed_prior(target_policy, rows.extras["behavior_policy"], uniform_over, config)
    return prior, values


def make_targets(
    config: MuesliConfig,
    rows: Row,
    prior: Array,
    action_values: Array,
    moment: MovingSecondMoment,
    key: chex.PRNGKey,
) -> tuple[RowTargets, MovingSecondMoment, Mapping[str, Array]]:
    """Computes the targets of the first `L` rows.

    Args:
      config: of the agent.
      rows: `[B, L + 1, ...]` without history.
      prior: `[B, L + 1, A]`, of `look_ahead`.
      action_values: `[B, L + 1, A]`, of `look_ahead`.
      moment: of the advantages so far.
      key: of sampled actions, and of the actions in absorbing states.

    Returns:
      The targets, the moment with this batch's advantages, and metrics.
    """
    loss = config.loss
    values = jnp.sum(prior * action_values, axis=-1)
    taken = rows.action[..., None]
    ratios = _at(prior, taken) / jnp.maximum(_at(rows.extras["behavior_policy"], taken), 1e-8)
    returns = retrace_returns(
        rows.reward,
        rows.discount,
        rows.mask,
        _at(action_values, taken),
        values,
        ratios,
        loss.trace_decay,
        loss.discount,
    )
    masks = jax.tree.map(lambda x: x[:, :-1], unroll_masks(rows.discount, rows.mask))
    acted = masks.acted
    errors = (returns - values[:, :-1]) * acted
    moment = moment.add(_mean(errors**2, acted), loss.moment_decay)
    scale = moment.scale(loss.moment_epsilon)

    sample_key, action_key = jax.random.split(key)
    prior, advantages = prior[:, :-1], ((action_values - values[..., None]) / scale)[:, :-1]
    clip = loss.advantage_clip
    if loss.num_samples:
        policies = sampled_cmpo_target(sample_key, prior, advantages, clip, loss.num_samples)
    else:
        policies = cmpo_policy(prior, advantages, clip)
    random_actions = jax.random.randint(action_key, returns.shape, 0, prior.shape[-1])
    targets = RowTargets(
        policies=policies,
        advantages=errors / scale,
        values=returns * acted,
        rewards=rows.reward[:, :-1] * acted,
        actions=jnp.where(acted > 0, rows.action[:, :-1], random_actions),
        masks=masks,
    )
    metrics = {
        "advantage_scale": scale,
        "advantage_clipped": _mean(jnp.mean(jnp.abs(advantages) > clip, axis=-1), acted),
        "retrace_ratio": _mean(jnp.minimum(ratios[:, :-1], 1.0), acted),
        "value_target": _mean(returns, acted),
        "value_error": _mean(jnp.abs(errors), acted),
    }
    return jax.lax.stop_gradient((targets, moment, metrics))


def _loss(
    networks: MuZeroNetworks,
    config: MuesliConfig,
    turn_sign: float,
    params: Params,
    target_params: Params,
    sample: Sample,
    key: chex.PRNGKey,
    moment: MovingSecondMoment,
) -> tuple[Array, LossExtra]:
    history = config.history.frames - 1
    rows = jax.tree.map(lambda array: array[:, history:], sample.rows)
    features, _ = split_legal_actions(sample.rows.observation)
    inputs = stack_rows(
        features, sample.rows.action, sample.rows.mask, config.history, networks.num_actions
    )
    prior, action_values = look_ahead(networks, config, turn_sign, target_params, rows, inputs)
    targets, moment, metrics = make_targets(config, rows, prior, action_values, moment, key)
    parts, entropy = _unroll_losses(networks, config, params, rows, inputs, targets)
    loss = config.loss
    total = (
        loss.policy_weight
        * (parts["gradient_loss"] + loss.regularizer_weight * parts["regularizer_loss"])
        + loss.model_policy_weight * parts["model_policy_loss"]
        + loss.value_weight * parts["value_loss"]
        + loss.reward_weight * parts["reward_loss"]
    )
    metrics = {"loss": total, **parts, "policy_entropy": entropy, **metrics}
    return total, LossExtra(metrics, None, moment)


def _unroll_losses(
    networks: MuZeroNetworks,
    config: MuesliConfig,
    params: Params,
    rows: Row,
    inputs: Array,
    targets: RowTargets,
) -> tuple[dict[str, Array], Array]:
    """Returns the losses, means over all roots, and the entropy of the policy there."""
    steps = config.loss.unroll_steps
    ahead = [_ahead(targets, k) for k in range(steps + 1)]
    # A root was acted in; what it is unrolled to may be absorbing.
    root = ahead[0].masks.acted
    count = jnp.maximum(jnp.sum(root), 1.0)

    def mean(losses: Array, mask: Array) -> Array:
        return jnp.sum(root * mask * losses) / count

    state = networks.representation(params, _flat(inputs[:, :-1]))
    prediction = networks.prediction(params, state)
    _, legal = split_legal_actions(rows.observation)
    logits = mask_logits(prediction.policy_logits, None if legal is None else _flat(legal[:, :-1]))
    behavior, action = _flat(rows.extras["behavior_policy"][:, :-1]), ahead[0].actions[:, None]
    ratio = _at(jax.nn.softmax(logits), action) / jnp.maximum(_at(behavior, action), 1e-8)
    value_probs = [networks.value_encoding.to_probs(x.values) for x in ahead]
    parts = {
        "gradient_loss": mean(-ratio * ahead[0].advantages, root),
        "regularizer_loss": mean(_divergence(ahead[0].policies, logits), root),
        "model_policy_loss": jnp.float32(0.0),
        "value_loss": mean(cross_entropy(prediction.value_logits, value_probs[0]), root),
        "reward_loss": jnp.float32(0.0),
    }
    # A Python loop: the gradient of a convolution inside lax.scan is slow on the CPU.
    for k in range(1, steps + 1):
        before, here = ahead[k - 1], ahead[k]
        state, reward_logits = networks.dynamics(params, state, before.actions)
        prediction = networks.prediction(params, state)
        policy = _divergence(here.policies, prediction.policy_logits)
        value = cross_entropy(prediction.value_logits, value_probs[k])
        reward_probs = networks.reward_encoding.to_probs(before.rewards)
        reward = cross_entropy(reward_logits, reward_probs)
        parts["model_policy_loss"] += mean(policy, here.masks.acted) / steps
        parts["value_loss"] += mean(value, here.masks.known) / steps
        parts["reward_loss"] += mean(reward, before.masks.known) / steps
    return parts, mean(cross_entropy(logits, jax.nn.softmax(logits)), root)


def _ahead(targets: RowTargets, steps: int) -> RowTargets:
    """The targets `steps` rows ahead of each row, flat: `[B L, ...]`; 0 behind the last row."""

    def shift(array: Array) -> Array:
        padding = [(0, 0), (0, steps)] + [(0, 0)] * (array.ndim - 2)
        return _flat(jnp.pad(array[:, steps:], padding))

    return jax.tree.map(shift, targets)


def _flat(array: Array) -> Array:
    """Merges batch and time."""
    return array.reshape((-1, *array.shape[2:]))


def _at(values: Array, index: Array) -> Array:
    """Picks the entry `index` `[..., 1]` of the last axis."""
    return jnp.take_along_axis(values, index, axis=-1)[..., 0]


def _mean(values: Array, mask: Array) -> Array:
    return jnp.sum(values * mask) / jnp.maximum(jnp.sum(mask), 1.0)


def _divergence(target: Array, logits: Array) -> Array:
    """`KL(target, softmax(logits))`."""
    log_target = jnp.log(jnp.maximum(target, 1e-20))
    return cross_entropy(logits, target) + jnp.sum(target * log_target, axis=-1)
