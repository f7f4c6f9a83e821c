"""Gumbel MuZero's search (Danihelka et al. 2022, https://openreview.net/forum?id=bERaNdoegnO)."""

import dataclasses
import functools
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import mctx

from mukoe.search.base import SearchModel, SearchOutput
from mukoe.search.config import SearchConfig
from mukoe.search.players import seen_from_root, value_of_each_player
from mukoe.search.q_normalization import (
    completed_qvalues,
    make_extra_data,
    scaled_completed_qvalues,
)
from mukoe.search.root import best_action, invalid_actions, mask_logits
from mukoe.search.statistics import policy_statistics, tree_statistics
from mukoe.search.threefry import unrolled
from mukoe.types import Array, Params, PerAction


def gumbel_search(
    config: SearchConfig,
    model: SearchModel,
    params: Params,
    key: chex.PRNGKey,
    root: mctx.RootFnOutput,
    legal_actions: PerAction,
    learner_steps: chex.Numeric,
    *,
    evaluation: bool,
) -> tuple[SearchOutput, mctx.Tree]:
    """Searches by sequential halving with Gumbel; a `mukoe.search.base.SearchAlgorithm`.

    At the root, sequential halving keeps the actions of the largest `g + logits + σ(q)`, where
    `g` is Gumbel noise (section 3). Below it, a simulation takes (section 5)

        argmax_a  π'(a) - N(a) / (1 + Σ_b N(b))       π' = softmax(logits + σ(completed q))

    with `σ` of `mukoe.search.q_normalization`. The tree is that of `mctx.gumbel_muzero_policy`.

    In a tree of another search sequential halving counts the new visits of the root alone, so that
    each considered action has its share of simulations, while `σ` and the completed Q-values are
    those of all visits.
    """
    del learner_steps  # The Gumbel noise already makes the action a sample of the policy.
    search_key, gumbel_key = jax.random.split(key)
    logits = root.prior_logits
    scale = 0.0 if evaluation else config.gumbel_scale
    gumbel = scale * jax.random.gumbel(unrolled(gumbel_key), logits.shape, logits.dtype)
    qtransform = functools.partial(scaled_completed_qvalues, config=config.q_normalization)
    tree = model.search(
        params,
        search_key,
        root=root,
        recurrent_fn=model.recurrent,
        root_action_selection_fn=functools.partial(
            _select_at_root,
            num_simulations=config.num_simulations,
            # The table that mctx makes grows with this number, and never has more than A rows.
            max_num_considered_actions=min(config.max_num_considered_actions, logits.shape[-1]),
            qtransform=qtransform,
        ),
        interior_action_selection_fn=functools.partial(
            mctx.gumbel_muzero_interior_action_selection, qtransform=qtransform
        ),
        num_simulations=config.num_simulations,
        max_depth=config.max_depth,
        invalid_actions=invalid_actions(legal_actions),
        extra_data=make_extra_data(config.q_normalization, gumbel, model.carried_visits),
    )
    return _decide(config, logits, gumbel, legal_actions, model.carried_visits, tree), tree


def _select_at_root(
    key: chex.PRNGKey,
    tree: mctx.Tree,
    node: chex.Numeric,
    *,
    qtransform: Callable[[mctx.Tree, chex.Numeric], Array],
    **settings: int,
) -> Array:
    """Returns the action that sequential halving selects by the new visits of the root."""
    visits, carried = tree.children_visits, getattr(tree.extra_data, "carried_visits", None)
    new = tree if carried is None else dataclasses.replace(tree, children_visits=visits - carried)
    return mctx.gumbel_muzero_root_action_selection(
        key, new, node, qtransform=lambda _, node: qtransform(tree, node), **settings
    )


def _decide(
    config: SearchConfig,
    logits: PerAction,
    gumbel: PerAction,
    legal_actions: PerAction,
    carried_visits: PerAction | None,
    tree: mctx.Tree,
) -> SearchOutput:
    """Returns the improved policy of a finished tree, its action and its value.

    Args:
      config: search settings.
      logits: `[B, A]` prior of the roots.
      gumbel: `[B, A]` Gumbel noise of the roots.
      legal_actions: `[B, A]` bool.
      carried_visits: `[B, A]` visits of the root's actions before the search; None for none.
      tree: finished tree, batched over `B`.
    """
    # The improved policy softmax(logits + σ(completed q)) (equation 11).
    qtransform = functools.partial(scaled_completed_qvalues, config=config.q_normalization)
    scaled_qvalues = jax.vmap(qtransform, in_axes=(0, None))(seen_from_root(tree), tree.ROOT_INDEX)
    improved_logits = mask_logits(logits + scaled_qvalues, legal_actions)
    search_policy = jax.nn.softmax(improved_logits)

    # Of the actions with the most new visits, which sequential halving kept to the end, the one
    # with the largest g + logits + σ(q).
    visits = jnp.asarray(tree.children_visits)[:, tree.ROOT_INDEX]
    if carried_visits is not None:
        visits = visits - carried_visits
    action = best_action(visits, gumbel + improved_logits, legal_actions)

    # The value of the improved policy, in the units of the rewards.
    def value_of(tree: mctx.Tree) -> jax.Array:
        qvalues = jax.vmap(completed_qvalues, in_axes=(0, None))(tree, tree.ROOT_INDEX)
        return jnp.sum(search_policy * qvalues, axis=-1)

    prior = jax.nn.softmax(logits)
    return SearchOutput(
        action=action,
        search_policy=search_policy,
        search_value=value_of_each_player(tree, value_of),
        statistics=policy_statistics(search_policy, prior) | tree_statistics(tree),
    )
