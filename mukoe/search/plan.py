"""Entry point of the search: one call from an evaluated root to an action."""

import dataclasses

import chex
import jax
import mctx

from mukoe.configuration.registry import Registry
from mukoe.search.base import SearchAlgorithm, SearchModel, SearchOutput, check_root
from mukoe.search.config import SearchConfig
from mukoe.search.gumbel import gumbel_search
from mukoe.search.prior import act_by_prior
from mukoe.search.puct import puct_search
from mukoe.search.root import complete_mask, mask_logits
from mukoe.types import Params, PerAction

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
) -> tuple[SearchOutput, mctx.Tree | None]:
    """Searches from evaluated roots.

    While training the search explores: 'muzero' adds Dirichlet noise to the prior of the root
    and samples actions from the visit counts at the scheduled temperature, 'gumbel' adds Gumbel
    noise. In evaluation there is no noise and the best action is taken. Without simulations the
    action comes from the prior, see `mukoe.search.prior`.

    Args:
      config: algorithm and settings.
      model: model to expand; its `root` is not called.
      params: network parameters, forwarded to `model.recurrent`.
      key: random key, unused in evaluation.
      root: output of `model.root`: prior logits `[B, A]`, value `[B]`, embedding `[B, ...]`.
      legal_actions: `[B, A]` bool legal-action mask, or None if all actions are legal. Rows
        without a legal action count as rows in which all are.
      learner_steps: `[]` learner step of the parameters, for the temperature schedule.
      evaluation: no exploration.

    Returns:
      The output, and the tree without its embeddings, batched over `B`; None without simulations.

    Raises:
      UserError: an output of the model has the wrong shape.
    """
    check_root(root, legal_actions)
    legal = complete_mask(legal_actions, root.prior_logits)
    root = dataclasses.replace(root, prior_logits=mask_logits(root.prior_logits, legal))
    if evaluation:
        # mctx breaks ties between equal scores at random.
        key = jax.random.key(0)
    if config.num_simulations == 0:
        return act_by_prior(config, key, root, learner_steps, evaluation=evaluation), None
    search = ALGORITHMS[config.algorithm]
    output, tree = search(
        config, model, params, key, root, legal, learner_steps, evaluation=evaluation
    )
    return output, dataclasses.replace(tree, embeddings=())
