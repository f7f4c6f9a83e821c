"""Entry point of the search: one call from an evaluated root to an action."""

import dataclasses

import chex
import jax
import mctx

from mukoe.configuration.registry import Registry
from mukoe.search.base import SearchAlgorithm, SearchModel, SearchOutput, check_root
from mukoe.search.candidates import at_index
from mukoe.search.config import SearchConfig
from mukoe.search.gumbel import gumbel_search
from mukoe.search.prior import act_by_prior
from mukoe.search.puct import puct_search
from mukoe.search.root import complete_mask, mask_logits
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
    evaluation temperature one is drawn from the search policy. Without simulations the action
    comes from the prior, see `mukoe.search.prior`.

    Args:
      config: algorithm and settings.
      model: model to expand; its `root` is not called.
      params: network parameters, forwarded to `model.recurrent`.
      key: random key; in evaluation of the drawn action alone.
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
    action_key = key
    if evaluation:
        # mctx breaks ties between equal scores at random.
        key = jax.random.key(0)
    if model.candidates is None:
        legal = complete_mask(legal_actions, root.prior_logits)
        output, tree = _search(config, model, params, key, root, legal, learner_steps, evaluation)
        output = _draw_in_evaluation(config, action_key, output, evaluation)
        return output, tree and dataclasses.replace(tree, embeddings=())
    key, draw_key = jax.random.split(key)
    root, legal = model.candidates.plant(
        draw_key, root, legal_actions, evaluation=evaluation, taken=taken
    )
    output, tree = _search(config, model, params, key, root, legal, learner_steps, evaluation)
    output = _draw_in_evaluation(config, action_key, output, evaluation)
    candidates = root.embedding["candidates"]
    action = at_index(candidates, output.action)
    output = output._replace(action=action, candidates=candidates)
    return output, tree and dataclasses.replace(tree, embeddings=tree.embeddings["candidates"])


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
