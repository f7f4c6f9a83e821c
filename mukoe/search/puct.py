"""MuZero's search: the PUCT formula (arXiv:1911.08265, appendix B)."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import mctx

from mukoe.search.base import SearchModel, SearchOutput
from mukoe.search.config import SearchConfig
from mukoe.search.players import value_of_each_player
from mukoe.search.q_normalization import make_extra_data, normalized_qvalues
from mukoe.search.root import add_dirichlet_noise, best_action, invalid_actions, mask_logits
from mukoe.search.statistics import policy_statistics, safe_log, tree_statistics
from mukoe.search.temperature import sample_action, scheduled_temperature
from mukoe.search.threefry import unrolled
from mukoe.types import Params, PerAction


def puct_search(
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
    """Searches with the PUCT formula; a `mukoe.search.base.SearchAlgorithm`.

    A simulation walks down the tree by (equation 2)

        argmax_a  Q̄(s, a) + P(s, a) √N(s) / (1 + N(s, a)) (c_1 + log((N(s) + c_2 + 1) / c_2))

    where N(s) counts the visit of the node itself, and Q̄ is in [0, 1], see
    `mukoe.search.q_normalization`. The tree is that of `mctx.muzero_policy`.
    """
    noise_key, search_key, action_key = jax.random.split(key, 3)
    prior = jax.nn.softmax(root.prior_logits)
    if not evaluation:
        noisy = add_dirichlet_noise(
            unrolled(noise_key),
            prior,
            legal_actions,
            config.dirichlet_alpha,
            config.dirichlet_fraction,
        )
        noisy_logits = mask_logits(safe_log(noisy), legal_actions)
        root = dataclasses.replace(root, prior_logits=noisy_logits)
    select = functools.partial(
        mctx.muzero_action_selection,
        pb_c_init=config.pb_c_init,
        pb_c_base=config.pb_c_base,
        qtransform=functools.partial(normalized_qvalues, config=config.q_normalization),
    )
    tree = model.search(
        params,
        # As mctx.muzero_policy splits its key, so that the trees are equal.
        jax.random.split(search_key, 3)[2],
        root=root,
        recurrent_fn=model.recurrent,
        root_action_selection_fn=functools.partial(select, depth=0),
        interior_action_selection_fn=select,
        num_simulations=config.num_simulations,
        max_depth=config.max_depth,
        invalid_actions=invalid_actions(legal_actions),
        extra_data=make_extra_data(config.q_normalization),
    )
    summary = tree.summary()
    if evaluation:
        action = best_action(summary.visit_counts, summary.qvalues, legal_actions)
    else:
        temperature = scheduled_temperature(config.temperature_schedule, learner_steps)
        action = sample_action(unrolled(action_key), summary.visit_probs, temperature)
    output = SearchOutput(
        action=action.astype(jnp.int32),
        search_policy=summary.visit_probs,
        search_value=value_of_each_player(tree, _mean_value),
        statistics=policy_statistics(summary.visit_probs, prior) | tree_statistics(tree),
    )
    return output, tree


def _mean_value(tree: mctx.Tree) -> jax.Array:
    """Returns the mean values `[B]` of the roots."""
    return jnp.asarray(tree.node_values)[:, tree.ROOT_INDEX]
