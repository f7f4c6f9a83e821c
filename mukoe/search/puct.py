"""MuZero's search: the PUCT formula (arXiv:1911.08265, appendix B)."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import mctx

from mukoe.search.base import SearchModel, SearchOutput
from mukoe.search.config import SearchConfig
from mukoe.search.q_normalization import make_extra_data, normalized_qvalues
from mukoe.search.root import add_dirichlet_noise, invalid_actions, mask_logits
from mukoe.search.statistics import policy_statistics, safe_log, tree_statistics
from mukoe.search.temperature import sample_action, scheduled_temperature
from mukoe.types import Array, Params


def puct_search(
    config: SearchConfig,
    model: SearchModel,
    params: Params,
    key: chex.PRNGKey,
    root: mctx.RootFnOutput,
    legal_actions: Array,
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

    # Dirichlet noise in the prior of the root.
    if not evaluation:
        noisy = add_dirichlet_noise(
            noise_key, prior, legal_actions, config.dirichlet_alpha, config.dirichlet_fraction
        )
        noisy_logits = mask_logits(safe_log(noisy), legal_actions)
        root = dataclasses.replace(root, prior_logits=noisy_logits)

    # The search.
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

    # In evaluation the most visited action, the one with the highest Q-value if several are;
    # otherwise a sample of the visit counts at the scheduled temperature.
    if evaluation:
        most_visits = jnp.max(summary.visit_counts, axis=-1, keepdims=True)
        candidates = (summary.visit_counts == most_visits) & legal_actions
        action = jnp.argmax(jnp.where(candidates, summary.qvalues, -jnp.inf), axis=-1)
    else:
        temperature = scheduled_temperature(config.temperature_schedule, learner_steps)
        action = sample_action(action_key, summary.visit_probs, temperature)

    output = SearchOutput(
        action=action.astype(jnp.int32),
        search_policy=summary.visit_probs,
        search_value=summary.value,
        statistics=policy_statistics(summary.visit_probs, prior) | tree_statistics(tree),
    )
    return output, tree
