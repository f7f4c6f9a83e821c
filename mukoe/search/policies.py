"""Acting by search: MuZero and Gumbel MuZero on mctx."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import mctx

from mukoe.errors import UserError
from mukoe.search import tree_search
from mukoe.search.config import SearchConfig
from mukoe.search.root import add_dirichlet_noise, complete_mask, mask_logits
from mukoe.search.statistics import policy_statistics, safe_log, tree_statistics
from mukoe.search.temperature import sample_action, scheduled_temperature
from mukoe.types import Array, Nest, Params


class SearchModel(NamedTuple):
    """The model that is searched, batched over `B`.

    root: `(params, observation [B, ...]) -> mctx.RootFnOutput`.
    recurrent: `(params, key, action [B], embedding [B, ...]) ->
        (mctx.RecurrentFnOutput, embedding)`. Called once per simulation. Its discount is
        the agent's own times what the model knows of the game: 0 where the episode ends,
        negative where the turn passes to the opponent.
    search: grows the tree, with the arguments of `mctx.search`; what it returns has the edges
        of the actions. Another one than the default is for trees in which not every edge is
        an action, see `mukoe.search.stochastic`.
    """

    root: Callable[[Params, Nest], mctx.RootFnOutput]
    recurrent: Callable[[Params, chex.PRNGKey, Array, Nest], tuple[mctx.RecurrentFnOutput, Nest]]
    search: Callable[..., mctx.Tree] = tree_search.search


class SearchOutput(NamedTuple):
    """What a search found.

    action: `[B]` int32, what to do.
    search_policy: `[B, A]` the improved policy, the target of the policy head; exactly 0 on
        illegal actions. 'muzero': visit counts; 'gumbel': softmax of completed Q-values.
    search_value: `[B]` the value of the root. 'muzero': the mean over all visits; 'gumbel':
        that of following the search policy. The mean would not do for 'gumbel': sequential
        halving spreads the visits over all considered actions, however bad.
    statistics: `[B]` float32 each: `search_entropy`, `prior_entropy`, `search_prior_kl`
        (nats), `search_depth_max`, `search_depth_mean` (edges of the tree).
    """

    action: Array
    search_policy: Array
    search_value: Array
    statistics: Mapping[str, Array]


SearchFunction = Callable[[Params, chex.PRNGKey, Nest, Array | None, chex.Numeric], SearchOutput]
"""`(params, key, observation [B, ...], legal_actions [B, A] or None, learner_steps [])`."""

RootSearchFunction = Callable[
    [Params, chex.PRNGKey, mctx.RootFnOutput, Array | None, chex.Numeric], SearchOutput
]
"""A `SearchFunction` that is given what the model says about the root, `[B, ...]`."""

TreeSearchFunction = Callable[
    [Params, chex.PRNGKey, Nest, Array | None, chex.Numeric], tuple[SearchOutput, mctx.Tree]
]
"""A `SearchFunction` that also returns the tree, without the embeddings of its nodes."""


class _Plan(NamedTuple):
    """What an algorithm hands back: `SearchOutput` without the statistics of the policy."""

    action: Array
    search_policy: Array
    search_value: Array
    tree_statistics: Mapping[str, Array]
    tree: mctx.Tree | None


def make_search(
    config: SearchConfig, model: SearchModel, evaluation: bool = False
) -> SearchFunction:
    """Returns the pure function that acts by search.

    While training it explores: 'muzero' adds Dirichlet noise to the prior of the root and
    draws actions from the visit counts at the scheduled temperature, 'gumbel' samples with
    Gumbel noise. In evaluation there is no noise, the best action is taken, and the key
    is ignored. With 0 simulations the action comes from the prior, the search policy is
    the prior and the search value that of the network.

    Args:
      config: the algorithm and its settings.
      model: the model that is searched.
      evaluation: act greedily and without noise.
    """
    root_search = make_root_search(config, model, evaluation)

    def search(params, key, observation, legal_actions, learner_steps) -> SearchOutput:
        root = model.root(params, observation)
        return root_search(params, key, root, legal_actions, learner_steps)

    return search


def make_root_search(
    config: SearchConfig, model: SearchModel, evaluation: bool = False
) -> RootSearchFunction:
    """Returns the part of `make_search`'s function that follows `model.root`.

    Args:
      config: the algorithm and its settings.
      model: the model that is searched; its `root` is not called.
      evaluation: act greedily and without noise.
    """
    planner = _make_planner(config, model, evaluation)

    def search(*inputs) -> SearchOutput:
        output, _ = planner(*inputs)
        return output

    return search


def make_tree_search(
    config: SearchConfig, model: SearchModel, evaluation: bool = False
) -> TreeSearchFunction:
    """Returns `make_search`'s function with the whole search tree as a second output.

    Args:
      config: the algorithm and its settings.
      model: the model that is searched.
      evaluation: act greedily and without noise.

    Raises:
      UserError: there are no simulations, and so no tree.
    """
    if config.num_simulations == 0:
        raise UserError(
            "a search with 0 simulations has no tree; num_simulations must be 1 or more"
        )
    planner = _make_planner(config, model, evaluation)

    def search(
        params, key, observation, legal_actions, learner_steps
    ) -> tuple[SearchOutput, mctx.Tree]:
        root = model.root(params, observation)
        output, tree = planner(params, key, root, legal_actions, learner_steps)
        assert tree is not None
        return output, dataclasses.replace(tree, embeddings=())

    return search


def _make_planner(
    config: SearchConfig, model: SearchModel, evaluation: bool
) -> Callable[..., tuple[SearchOutput, mctx.Tree | None]]:
    if config.num_simulations == 0:
        plan = _plan_with_prior
    elif config.algorithm == "gumbel":
        plan = _plan_with_gumbel
    else:
        plan = _plan_with_muzero

    def search(
        params: Params,
        key: chex.PRNGKey,
        root: mctx.RootFnOutput,
        legal_actions: Array | None,
        learner_steps: chex.Numeric,
    ) -> tuple[SearchOutput, mctx.Tree | None]:
        legal = complete_mask(legal_actions, root.prior_logits)
        root = dataclasses.replace(root, prior_logits=mask_logits(root.prior_logits, legal))
        if evaluation:
            # mctx breaks ties between equal scores at random.
            key = jax.random.key(0)
            temperature = jnp.zeros(())
        else:
            temperature = scheduled_temperature(config.temperature_schedule, learner_steps)
        result = plan(config, model, params, key, root, legal, temperature, evaluation)
        prior = jax.nn.softmax(root.prior_logits)
        statistics = policy_statistics(result.search_policy, prior) | dict(result.tree_statistics)
        output = SearchOutput(
            action=result.action.astype(jnp.int32),
            search_policy=result.search_policy,
            search_value=result.search_value,
            statistics=statistics,
        )
        return output, result.tree

    return search


def _plan_with_prior(config, model, params, key, root, legal, temperature, evaluation) -> _Plan:
    del config, model, params, legal
    prior = jax.nn.softmax(root.prior_logits)
    greedy = jnp.argmax(prior, axis=-1)
    action = greedy if evaluation else sample_action(key, prior, temperature)
    no_depth = jnp.zeros_like(root.value)
    depths = {"search_depth_max": no_depth, "search_depth_mean": no_depth}
    return _Plan(action, prior, root.value, depths, None)


def _plan_with_muzero(config, model, params, key, root, legal, temperature, evaluation) -> _Plan:
    noise_key, search_key, action_key = jax.random.split(key, 3)
    if not evaluation:
        noisy = add_dirichlet_noise(
            noise_key,
            jax.nn.softmax(root.prior_logits),
            legal,
            config.dirichlet_alpha,
            config.dirichlet_fraction,
        )
        root = dataclasses.replace(root, prior_logits=mask_logits(safe_log(noisy), legal))
    select = functools.partial(
        mctx.muzero_action_selection, pb_c_init=config.pb_c_init, pb_c_base=config.pb_c_base
    )
    tree = model.search(
        params,
        # As mctx.muzero_policy would, so that its tree is this one.
        jax.random.split(search_key, 3)[2],
        root=root,
        recurrent_fn=model.recurrent,
        root_action_selection_fn=functools.partial(select, depth=0),
        interior_action_selection_fn=select,
        num_simulations=config.num_simulations,
        max_depth=config.max_depth,
        invalid_actions=_invalid(legal),
    )
    summary = tree.summary()
    if evaluation:
        # The most visited action; of several, the one with the highest Q-value.
        most = jnp.max(summary.visit_counts, axis=-1, keepdims=True)
        candidates = (summary.visit_counts == most) & legal
        action = jnp.argmax(jnp.where(candidates, summary.qvalues, -jnp.inf), axis=-1)
    else:
        action = sample_action(action_key, summary.visit_probs, temperature)
    return _Plan(action, summary.visit_probs, summary.value, tree_statistics(tree), tree)


def _plan_with_gumbel(config, model, params, key, root, legal, temperature, evaluation) -> _Plan:
    del temperature  # The Gumbel noise already makes the action a sample of the policy.
    search_key, gumbel_key = jax.random.split(key)
    scale = 0.0 if evaluation else config.gumbel_scale
    gumbel = scale * jax.random.gumbel(gumbel_key, root.prior_logits.shape, root.prior_logits.dtype)
    tree = model.search(
        params,
        search_key,
        root=root,
        recurrent_fn=model.recurrent,
        root_action_selection_fn=functools.partial(
            mctx.gumbel_muzero_root_action_selection,
            num_simulations=config.num_simulations,
            # Of a table that mctx makes; beyond the actions it has nothing.
            max_num_considered_actions=min(
                config.max_num_considered_actions, root.prior_logits.shape[-1]
            ),
        ),
        interior_action_selection_fn=mctx.gumbel_muzero_interior_action_selection,
        num_simulations=config.num_simulations,
        max_depth=config.max_depth,
        invalid_actions=_invalid(legal),
        extra_data=mctx.GumbelMuZeroExtraData(root_gumbel=gumbel),
    )
    # Of the most visited actions, which are those that sequential halving kept to the end,
    # the one with the largest g + logits + sigma(q) (section 3).
    qvalues = jax.vmap(mctx.qtransform_completed_by_mix_value, in_axes=(0, None))(
        tree, tree.ROOT_INDEX
    )
    logits = mask_logits(root.prior_logits + qvalues, legal)
    visits = jnp.asarray(tree.children_visits)[:, tree.ROOT_INDEX]
    candidates = (visits == jnp.max(visits, axis=-1, keepdims=True)) & legal
    action = jnp.argmax(jnp.where(candidates, gumbel + logits, -jnp.inf), axis=-1)
    policy = jax.nn.softmax(logits)
    return _Plan(action, policy, _improved_value(tree, policy), tree_statistics(tree), tree)


def _improved_value(tree: mctx.Tree, search_policy: Array) -> jax.Array:
    """Returns the value `[B]` of following `search_policy` `[B, A]` at the root.

    Actions without a visit count with the mixed value of Gumbel MuZero, appendix D, as in
    the search policy itself.
    """

    def completed_qvalues(tree: mctx.Tree, node: Array) -> Array:
        # mctx multiplies Q-values by maxvisit_init + the most visits: here by 1.
        return mctx.qtransform_completed_by_mix_value(
            tree,
            node,
            value_scale=1.0,
            maxvisit_init=1.0 - jnp.max(jnp.asarray(tree.children_visits)[node]),
            rescale_values=False,
        )

    qvalues = jax.vmap(completed_qvalues, in_axes=(0, None))(tree, tree.ROOT_INDEX)
    return jnp.sum(search_policy * qvalues, axis=-1)


def _invalid(legal_actions: Array) -> Array:
    return 1.0 - legal_actions.astype(jnp.float32)
