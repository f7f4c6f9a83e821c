"""Targets of an unrolled model, from stored rows (MuZero, arXiv:1911.08265, appendix G).

A sample holds rows `t .. t+K+n` behind its leading rows, of history and burn-in. The model is
unrolled from `o_t` along the actions that were taken:

    row             t        t+1       t+2     ...     t+K        ...    t+K+n
    model        s_0 --a_t--> s_1 -a_{t+1}-> s_2  ...   s_K
    policy       π_t        π_{t+1}    π_{t+2}         π_{t+K}     where an action was taken
    value        z_t        z_{t+1}    z_{t+2}         z_{t+K}     n-step returns
    reward            reward[t]  reward[t+1] ...                   of each action
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from mukoe.agents.planning.cloning import PolicyWeights, policy_weights
from mukoe.agents.planning.config import PlanningConfig, TargetSettings, leading_rows
from mukoe.agents.planning.masks import UnrollMasks, unroll_masks
from mukoe.agents.planning.memory import encode_rows
from mukoe.agents.planning.root import PLAYER, RootNetworks
from mukoe.nests import take
from mukoe.networks.action_space import ActionSpace
from mukoe.networks.history import HistoryConfig, row_inputs
from mukoe.networks.memory import InputMemory
from mukoe.types import Array, Nest, Params, Row, Sample, SearchStatistics


class UnrollTargets(NamedTuple):
    """Targets of the `K + 1` states of an unroll; values and rewards may have an axis of players.

    policies: `[B, K+1, A]` search policies; `[B, K+1, M]` with candidates.
    values: `[B, K+1]` returns or search values; 0 in absorbing states.
    rewards: `[B, K+1]` reward of the action taken at each state; 0 in absorbing states.
    actions: `[B, K+1, ...]` actions; random in absorbing states.
    masks: masks of known targets, `[B, K+1]` each.
    ages: `[B]` updates since the first action of each sequence; None if rows do not store them.
    candidates: `[B, K+1, M, ...]` actions of the search policies; None for those over all actions.
    policy_weights: weights of search policies and stored actions as targets of the policy; None
        for search policies alone.
    players: `[B, K+1]` int32, seats of the players to move, with three and more players; else None.
    """

    policies: Array
    values: Array
    rewards: Array
    actions: Array
    masks: UnrollMasks
    ages: Array | None = None
    candidates: Array | None = None
    policy_weights: PolicyWeights | None = None
    players: Array | None = None


def make_targets(
    rows: Row,
    values: Array,
    key: chex.PRNGKey,
    action_space: ActionSpace,
    settings: TargetSettings,
    ages: Array | None = None,
) -> UnrollTargets:
    """Computes the targets of an unroll.

    Args:
      rows: `[B, K+n+1, ...]` rows without history.
      values: `[B, K+n+1]` bootstrap values of the returns; `[B, K+n+1, P]` with three and more
        players.
      key: random key of the actions in absorbing states, where every action has the same effect.
      action_space: actions of the environment.
      settings: settings of the returns.
      ages: ages `[B]` of the sequences, in updates; None if unknown.

    Returns:
      The targets of `K + 1` states.
    """
    chex.assert_rank(rows.discount, 2)
    chex.assert_equal_shape([rows.discount, rows.mask])
    chex.assert_equal_shape([rows.reward, values])
    chex.assert_equal_shape_prefix([rows.reward, rows.discount], 2)
    chex.assert_shape(rows.action, (*rows.discount.shape, *action_space.spec.shape))
    policies, search_values, candidates = SearchStatistics.from_extras(rows.extras)
    number = action_space.size if candidates is None else candidates.shape[2]
    chex.assert_shape(policies, (*rows.discount.shape, number))
    returns = settings.returns(rows, values, settings.steps_at(ages))
    states = returns.shape[1]
    targets = settings.mix(returns, search_values, ages)
    masks = jax.tree.map(lambda mask: mask[:, :states], unroll_masks(rows.discount, rows.mask))
    acted = masks.acted
    random_actions = action_space.uniform(key, acted.shape)
    players = rows.extras.get(PLAYER)
    of_values = jnp.expand_dims(acted, range(2, returns.ndim))
    has_acted = jnp.reshape(acted > 0, (*acted.shape, *[1] * len(action_space.spec.shape)))
    return UnrollTargets(
        policies=policies[:, :states],
        values=targets * of_values,
        rewards=rows.reward[:, :states] * of_values,
        actions=jnp.where(has_acted, rows.action[:, :states], random_actions),
        masks=masks,
        ages=ages,
        candidates=None if candidates is None else candidates[:, :states],
        players=None if players is None else players[:, :states],
    )


def sample_targets(
    networks: RootNetworks,
    config: PlanningConfig,
    target_params: Params,
    sample: Sample,
    key: chex.PRNGKey,
    memory: InputMemory | None = None,
) -> UnrollTargets:
    """Computes the targets of a sample with its leading rows, with the bootstrap of the config."""
    first = leading_rows(config)
    rows = jax.tree.map(lambda array: array[:, first:], sample.rows)
    if config.targets.bootstrap == "target":
        values = _target_network_values(networks, config, target_params, sample, memory)
    else:
        values = SearchStatistics.from_extras(rows.extras).search_value
    ages = sample_ages(config, sample)
    targets = make_targets(rows, values, key, networks.action_space, config.targets, ages)
    return targets._replace(policy_weights=policy_weights(config.cloning, sample))


def sample_ages(config: PlanningConfig, sample: Sample) -> Array | None:
    """Returns the updates `[B]` since the parameters that chose the first action of each sequence.

    None if rows do not store their learner steps.
    """
    stored = sample.rows.extras.get("learner_steps")
    if stored is None:
        return None
    return jnp.maximum(sample.learner_steps - stored[:, leading_rows(config)], 0)


def network_inputs(
    networks: RootNetworks, history: HistoryConfig, rows: Row, steps: int | None
) -> Nest:
    """Returns the first `steps` network inputs `[B, steps, ...]` of rows with history."""
    return row_inputs(rows, history, networks.action_space.size, steps)


def root_inputs(networks: RootNetworks, history: HistoryConfig, rows: Row) -> Nest:
    """Returns the first network input `[B, ...]` of rows with history."""
    return take(network_inputs(networks, history, rows, steps=1), slice(None), 0)


def encoded_root_inputs(
    networks: RootNetworks,
    config: PlanningConfig,
    params: Params,
    rows: Row,
    memory: InputMemory | None,
) -> Nest:
    """Returns the root's inputs `[B, ...]` at the first of rows behind their leading rows.

    Args:
      networks: networks, for the actions.
      config: history and burn-in.
      params: parameters of the memory.
      rows: rows `[B, H + U + S, ...]`.
      memory: memory in front of the root; None without one.
    """
    inputs = network_inputs(networks, config.history, rows, steps=config.burn_in + 1)
    inputs = encode_rows(memory, params, inputs, rows, config.history, config.burn_in)
    return take(inputs, slice(None), 0)


def windows_at(rows: Row, states: Array, frames: int) -> Row:
    """Returns the windows `[B * M, F, ...]` of rows that end at given states.

    Args:
      rows: `[B, F-1+S, ...]` rows with their leading rows.
      states: `[B, M]` indices of states, 0 for the first row after the leading ones.
      frames: number of rows of a window, `F`.
    """
    chex.assert_rank(states, 2)
    indices = states[..., None] + jnp.arange(frames)
    gather = jax.vmap(lambda array, index: jnp.asarray(array)[index])
    return jax.tree.map(
        lambda array: gather(array, indices).reshape((states.size, frames, *array.shape[2:])), rows
    )


def _target_network_values(
    networks: RootNetworks,
    config: PlanningConfig,
    target_params: Params,
    sample: Sample,
    memory: InputMemory | None,
) -> Array:
    """Returns the target network's values `[B, K+n+1]` of the states that bootstrap a return.

    The values of the other states, which no return reads, are 0.
    """
    mask = sample.rows.mask[:, leading_rows(config) :]
    steps = config.targets.steps_at(sample_ages(config, sample))
    states = config.targets.bootstrap_states(mask, steps)
    windows = windows_at(sample.rows, states, leading_rows(config) + 1)
    inputs = encoded_root_inputs(networks, config, target_params, windows, memory)
    state = networks.representation(target_params, inputs)
    logits = networks.prediction(target_params, state).value_logits
    values = networks.value_encoding.to_scalar(logits)
    values = values.reshape((*states.shape, *values.shape[1:]))
    scatter = jax.vmap(lambda array, index, value: array.at[index].set(value))
    nothing = jnp.zeros((*mask.shape, *values.shape[2:]), values.dtype)
    return jax.lax.stop_gradient(scatter(nothing, states, values))
