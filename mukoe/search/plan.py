"""Entry point of the search: one call from an evaluated root to an action."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import mctx

from mukoe.configuration.registry import Registry
from mukoe.search.base import SearchAlgorithm, SearchModel, SearchOutput, check_root
from mukoe.search.candidates import at_index
from mukoe.search.config import SearchConfig
from mukoe.search.gumbel import gumbel_search
from mukoe.search.nodes import nodes_of
from mukoe.search.prior import act_by_prior
from mukoe.search.puct import puct_search
from mukoe.search.reuse import KeptTree, kept_nodes, nodes_of_reused_tree, root_visits
from mukoe.search.root import complete_mask, mask_logits
from mukoe.search.root_trees import search_trees
from mukoe.search.temperature import sample_action
from mukoe.types import Array, Params, PerAction

ALGORITHMS: Registry[SearchAlgorithm] = Registry(
    "search algorithm", {"muzero": puct_search, "gumbel": gumbel_search}
)
"""Search algorithms by the name that `SearchConfig.algorithm` gives them."""


def plan(
    config: SearchConfig,
    model: SearchModel,
    params: Params,
    key: chex.PRNGKey,
    root: mctx.RootFnOutput,
    legal_actions: PerAction | None,
    learner_steps: chex.Numeric,
    *,
    evaluation: bool = False,
    taken: Array | None = None,
) -> tuple[SearchOutput, mctx.Tree | None]:
    """Searches from evaluated roots.

    While training the search explores: 'muzero' adds Dirichlet noise to the prior of the root
    and samples actions from the visit counts at the scheduled temperature, 'gumbel' adds Gumbel
    noise. In evaluation there is no noise, and the best action is taken, or at a positive
    evaluation temperature one is drawn from the search policy. Several trees of an evaluation
    explore, and their policies are averaged, see `mukoe.search.root_trees`. Without simulations the
    action comes from the prior, see `mukoe.search.prior`.

    Args:
      config: algorithm and settings.
      model: model to expand; its `root` is not called.
      params: network parameters, forwarded to `model.recurrent`.
      key: random key; in evaluation of the drawn action and of several trees alone.
      root: output of `model.root`: prior logits `[B, A]`, value `[B]`, embedding `[B, ...]`; with
        candidates the outputs `[B, O]` of the policy head.
      legal_actions: `[B, A]` bool legal-action mask, or None if all actions are legal. Rows
        without a legal action count as rows in which all are.
      learner_steps: `[]` learner step of the parameters, for the temperature schedule.
      evaluation: no exploration.
      taken: `[B, ...]` actions that must be among the candidates; None for none. A search over all
        actions ignores them.

    Returns:
      The output, and the tree, batched over `B`; None without simulations. In place of its
      embeddings the tree has the candidates `[B, N, K, ...]` of its nodes, or `()` without.

    Raises:
      UserError: an output of the model has the wrong shape.
    """
    check_root(root, legal_actions)
    if model.candidates is None:
        output, tree = _plan_over_actions(
            config, model, params, key, root, legal_actions, learner_steps, evaluation
        )
        return output, tree and dataclasses.replace(tree, embeddings=())
    key, action_key = _split_key(key, evaluation)
    key, draw_key = jax.random.split(key)
    root, legal = model.candidates.expand_root(
        draw_key, root, legal_actions, evaluation=evaluation, taken=taken
    )
    output, tree = _search(config, model, params, key, root, legal, learner_steps, evaluation)
    output = _draw_in_evaluation(config, action_key, output, evaluation)
    candidates = root.embedding["candidates"]
    action = at_index(candidates, output.action)
    output = output._replace(action=action, candidates=candidates)
    return output, tree and dataclasses.replace(tree, embeddings=tree.embeddings["candidates"])


def plan_from(
    previous: KeptTree,
    config: SearchConfig,
    model: SearchModel,
    params: Params,
    key: chex.PRNGKey,
    root: mctx.RootFnOutput,
    legal_actions: PerAction | None,
    learner_steps: chex.Numeric,
) -> tuple[SearchOutput, mctx.Tree, KeptTree]:
    """Searches in evaluation as `plan`, from the subtrees of previous searches.

    Args:
      previous: trees of the previous searches.
      config: algorithm and settings, with simulations.
      model: model to expand, without candidates.
      params: network parameters.
      key: random key of the drawn action.
      root: evaluated roots, whose embeddings are the states that are looked for in the trees.
      legal_actions: `[B, A]` bool, or None if all actions are legal.
      learner_steps: `[]` learner step of the parameters.

    Returns:
      The output, whose statistics have the visits `search_visits_kept` of the roots, the tree as
      that of `plan`, and the trees for the next search.
    """
    check_root(root, legal_actions)
    kept = kept_nodes(config, previous, root.embedding, learner_steps)
    model = model._replace(
        search=functools.partial(model.search, kept=kept), carried_visits=root_visits(kept)
    )
    output, tree = _plan_over_actions(
        config, model, params, key, root, legal_actions, learner_steps, evaluation=True
    )
    assert tree is not None, "trees are kept of searches with simulations"
    output = output._replace(
        statistics={**output.statistics, "search_visits_kept": kept.visits[:, 0]}
    )
    steps = jnp.broadcast_to(jnp.asarray(learner_steps, jnp.int32), root.value.shape[:1])
    return output, dataclasses.replace(tree, embeddings=()), KeptTree(nodes_of(tree), steps)


def nodes_in_evaluation(config: SearchConfig) -> int:
    """Returns the number of nodes of all trees of an evaluated position."""
    if not config.num_simulations:
        return 0
    if config.evaluation_reuse_tree:
        return nodes_of_reused_tree(config)
    return config.evaluation_trees * (config.num_simulations + 1)


def _plan_over_actions(
    config: SearchConfig,
    model: SearchModel,
    params: Params,
    key: chex.PRNGKey,
    root: mctx.RootFnOutput,
    legal_actions: PerAction | None,
    learner_steps: chex.Numeric,
    evaluation: bool,
) -> tuple[SearchOutput, mctx.Tree | None]:
    """Searches without candidates; the tree has the embeddings of its nodes."""
    legal = complete_mask(legal_actions, root.prior_logits)
    if evaluation and config.num_simulations and config.evaluation_trees > 1:
        return _plan_trees(config, model, params, key, root, legal, learner_steps)
    key, action_key = _split_key(key, evaluation)
    output, tree = _search(config, model, params, key, root, legal, learner_steps, evaluation)
    return _draw_in_evaluation(config, action_key, output, evaluation), tree


def _plan_trees(
    config: SearchConfig,
    model: SearchModel,
    params: Params,
    key: chex.PRNGKey,
    root: mctx.RootFnOutput,
    legal: PerAction,
    learner_steps: chex.Numeric,
) -> tuple[SearchOutput, mctx.Tree]:
    """Searches several times with exploration, and decides by the mean; returns the first tree."""
    trees_key, action_key = jax.random.split(key)

    def explore(key: chex.PRNGKey, inputs: tuple) -> tuple[SearchOutput, mctx.Tree]:
        params, root, legal, learner_steps = inputs
        output, tree = _search(
            config, model, params, key, root, legal, learner_steps, evaluation=False
        )
        assert tree is not None, "trees are those of searches with simulations"
        return output, tree

    inputs = params, root, legal, learner_steps
    output, tree = search_trees(explore, config.evaluation_trees, trees_key, inputs, legal)
    return _draw_in_evaluation(config, action_key, output, evaluation=True), tree


def _split_key(key: chex.PRNGKey, evaluation: bool) -> tuple[chex.PRNGKey, chex.PRNGKey]:
    """Returns the keys of the search and of the action drawn in evaluation."""
    # mctx breaks ties between equal scores at random.
    return (jax.random.key(0) if evaluation else key), key


def _draw_in_evaluation(
    config: SearchConfig, key: chex.PRNGKey, output: SearchOutput, evaluation: bool
) -> SearchOutput:
    """Replaces the best action by a drawn one, where evaluation has a temperature."""
    if not (evaluation and config.evaluation_temperature):
        return output
    action = sample_action(key, output.search_policy, config.evaluation_temperature)
    return output._replace(action=action.astype(output.action.dtype))


def _search(
    config: SearchConfig,
    model: SearchModel,
    params: Params,
    key: chex.PRNGKey,
    root: mctx.RootFnOutput,
    legal: PerAction,
    learner_steps: chex.Numeric,
    evaluation: bool,
) -> tuple[SearchOutput, mctx.Tree | None]:
    """Searches over the actions, or the indices of candidates, of which some are legal."""
    root = dataclasses.replace(root, prior_logits=mask_logits(root.prior_logits, legal))
    if config.num_simulations == 0:
        return act_by_prior(config, key, root, learner_steps, evaluation=evaluation), None
    search = ALGORITHMS[config.algorithm]
    return search(config, model, params, key, root, legal, learner_steps, evaluation=evaluation)
