"""Search in a tree of decisions and of chance (Stochastic MuZero, Antonoglou et al., ICLR 2022).

Decision nodes, where the agent acts, alternate with chance nodes, where an outcome is drawn. A node
has `A + M` edges, as in `mctx.stochastic_muzero_policy`: the first `A` are the actions, which
only decision nodes use, the others the chance outcomes, which only chance nodes use:

    depth      0                 1                    2                 3
    node       state s_0         afterstate as_0      state s_1         afterstate as_1
    edge       action a -------> outcome A + c -----> action a' ------> ...
    reward     0                 r(as_0, c)           0
    discount   1                 γ                    1

A simulation adds one node, of either kind. At a chance node mctx selects the outcome with the
largest `σ(c) / (N(c) + 1)`, which distributes the visits as `σ` without sampling; the paper draws
from `σ` (section 4). Both are implemented.

With sampled candidates (`mukoe.search.candidates`) the first edges are the `K` candidates of a
decision node; those of a chance node are the ones of the decision above it, and not used.

The search is `tree_search` with public functions of mctx. The trees are those of
`mctx.stochastic_muzero_policy`; Gumbel MuZero's selection at decisions is possible too.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import mctx

from mukoe.nests import tree_where
from mukoe.search import tree_search
from mukoe.search.base import SearchModel
from mukoe.search.candidates import CandidateSampler, at_index
from mukoe.shapes import check_shape
from mukoe.types import Array, Nest, Params, PerAction

_PER_EDGE = (
    "children_index",
    "children_prior_logits",
    "children_visits",
    "children_rewards",
    "children_discounts",
    "children_values",
    "root_invalid_actions",
)
"""Fields of `mctx.Tree` with an entry for each edge."""


class StochasticModel(NamedTuple):
    """A model of decisions and chance, batched over `B`.

    States and afterstates are trees of arrays of the same shapes.

    root: `(params, observation [B, ...]) -> mctx.RootFnOutput`, with `A` prior logits.
    decision: `(params, key, action [B], state) -> (mctx.DecisionRecurrentFnOutput, afterstate)`,
        with `M` chance logits.
    chance: `(params, key, outcome [B], afterstate) -> (mctx.ChanceRecurrentFnOutput, state)`; its
        discount is that of `mukoe.search.base.SearchModel`.
    num_actions: `A`.
    num_outcomes: `M`.
    """

    root: Callable[[Params, Nest], mctx.RootFnOutput]
    decision: Callable[
        [Params, chex.PRNGKey, Array, Nest], tuple[mctx.DecisionRecurrentFnOutput, Nest]
    ]
    chance: Callable[[Params, chex.PRNGKey, Array, Nest], tuple[mctx.ChanceRecurrentFnOutput, Nest]]
    num_actions: int
    num_outcomes: int


def stochastic_search_model(
    model: StochasticModel,
    sample_outcomes: bool = False,
    candidates: CandidateSampler | None = None,
) -> SearchModel:
    """Returns the model for the search functions of `mukoe.search`.

    The returned trees have the edges of actions only; those of chance outcomes are removed.
    `max_depth` counts actions.

    Args:
      model: model of decisions and chance.
      sample_outcomes: draw outcomes from `σ`, instead of taking that of the largest
        `σ(c) / (N(c) + 1)`.
      candidates: sampler of candidates, for a model whose prior logits are outputs `[B, O]` of a
        policy head; None for a search over `A` actions.
    """

    def root(params: Params, observation: Nest) -> mctx.RootFnOutput:
        output = model.root(params, observation)
        return dataclasses.replace(output, embedding=at_decision(output.embedding))

    recurrent = functools.partial(_recurrent, model)
    if candidates is not None:
        model = _over_indices(model, candidates)
        recurrent = functools.partial(_recurrent_of_candidates, model)
    return SearchModel(
        root=root,
        recurrent=recurrent,
        search=functools.partial(_search, model, sample_outcomes),
        candidates=candidates,
        shown_tree=first_decision,
        embed_position=at_decision,
    )


def at_decision(state: Nest) -> Nest:
    """Returns the embeddings of decision nodes with the states `[B, ...]`."""
    batch_size = jax.tree.leaves(state)[0].shape[0]
    return {"state": state, "is_decision": jnp.ones((batch_size,), bool)}


def select_outcome(tree: mctx.Tree, node: Array, num_actions: int) -> jax.Array:
    """Returns the edge of the outcome of the largest `σ(c) / (N(c) + 1)`, in an unbatched tree."""
    probs = jax.nn.softmax(jnp.asarray(tree.children_prior_logits)[node, num_actions:])
    visits = jnp.asarray(tree.children_visits)[node, num_actions:]
    return (num_actions + jnp.argmax(probs / (visits + 1))).astype(jnp.int32)


def draw_outcome(key: chex.PRNGKey, tree: mctx.Tree, node: Array, num_actions: int) -> jax.Array:
    """Returns the edge of an outcome drawn from `σ`, in an unbatched tree."""
    logits = jnp.asarray(tree.children_prior_logits)[node, num_actions:]
    outcome = jax.random.categorical(key, logits)
    return (num_actions + outcome).astype(jnp.int32)


def first_decision(tree: mctx.Tree) -> mctx.Tree:
    """Returns the part of a batched tree above the first chance outcome.

    It is the root with its actions; all other nodes are marked as unvisited.
    """
    index = jnp.arange(tree.parents.shape[1])
    kept = (index == 0) | (tree.parents == 0)
    at_root = (index == 0)[:, None]
    return dataclasses.replace(
        tree,
        node_visits=jnp.where(kept, tree.node_visits, 0),
        parents=jnp.where(kept, tree.parents, mctx.Tree.NO_PARENT),
        children_visits=jnp.where(at_root, tree.children_visits, 0),
        children_index=jnp.where(at_root, tree.children_index, mctx.Tree.UNVISITED),
    )


def _over_indices(model: StochasticModel, sampler: CandidateSampler) -> StochasticModel:
    """Returns a model of indices of candidates; its states are `{"state", "candidates"}`."""

    def decision(
        params: Params, key: chex.PRNGKey, index: Array, state: Nest
    ) -> tuple[mctx.DecisionRecurrentFnOutput, Nest]:
        action = at_index(state["candidates"], index)
        output, afterstate = model.decision(params, key, action, state["state"])
        return output, {"state": afterstate, "candidates": state["candidates"]}

    def chance(
        params: Params, key: chex.PRNGKey, outcome: Array, afterstate: Nest
    ) -> tuple[mctx.ChanceRecurrentFnOutput, Nest]:
        model_key, draw_key = jax.random.split(key)
        output, state = model.chance(params, model_key, outcome, afterstate["state"])
        logits, candidates = sampler.interior_prior(draw_key, output.action_logits)
        output = dataclasses.replace(output, action_logits=logits)
        return output, {"state": state, "candidates": candidates}

    return model._replace(decision=decision, chance=chance, num_actions=sampler.count)


def _recurrent_of_candidates(
    model: StochasticModel, params: Params, key: chex.PRNGKey, edge: Array, embedding: Nest
) -> tuple[mctx.RecurrentFnOutput, Nest]:
    """Follows an edge of a model of indices, from an embedding of `expand_root`."""
    node = embedding["state"]
    state = {"state": node["state"], "candidates": embedding["candidates"]}
    output, reached = _recurrent(model, params, key, edge, {**node, "state": state})
    state = reached["state"]
    node = {**reached, "state": state["state"]}
    return output, {"state": node, "candidates": state["candidates"]}


def _recurrent(
    model: StochasticModel, params: Params, key: chex.PRNGKey, edge: Array, embedding: Nest
) -> tuple[mctx.RecurrentFnOutput, Nest]:
    """Follows an edge of either kind: computes both steps and selects one of them."""
    state, is_decision = embedding["state"], embedding["is_decision"]
    decision_key, chance_key = jax.random.split(key)
    action = jnp.minimum(edge, model.num_actions - 1)
    outcome = jnp.maximum(edge - model.num_actions, 0)
    decision, afterstate = model.decision(params, decision_key, action, state)
    chance, next_state = model.chance(params, chance_key, outcome, state)
    batch_size = edge.shape[:1]
    for name, output, shape in (
        ("chance_logits [B, M]", decision, (*batch_size, model.num_outcomes)),
        ("afterstate_value [B]", decision, batch_size),
        ("action_logits [B, A]", chance, (*batch_size, model.num_actions)),
        ("value [B]", chance, batch_size),
        ("reward [B]", chance, batch_size),
        ("discount [B]", chance, batch_size),
    ):
        check_shape(f"the model's {name}", getattr(output, name.split()[0]), shape)
    at_afterstate = mctx.RecurrentFnOutput(
        prior_logits=_pad(decision.chance_logits, before=model.num_actions),
        value=decision.afterstate_value,
        reward=jnp.zeros_like(decision.afterstate_value),
        discount=jnp.ones_like(decision.afterstate_value),
    )
    at_state = mctx.RecurrentFnOutput(
        prior_logits=_pad(chance.action_logits, after=model.num_outcomes),
        value=chance.value,
        reward=chance.reward,
        discount=chance.discount,
    )

    output, reached = tree_where(is_decision, (at_afterstate, afterstate), (at_state, next_state))
    return output, {"state": reached, "is_decision": ~is_decision}


def _search(
    model: StochasticModel,
    sample_outcomes: bool,
    params: Params,
    rng_key: chex.PRNGKey,
    *,
    root: mctx.RootFnOutput,
    recurrent_fn: mctx.RecurrentFn,
    root_action_selection_fn: mctx.RootActionSelectionFn,
    interior_action_selection_fn: mctx.InteriorActionSelectionFn,
    num_simulations: int,
    max_depth: int | None = None,
    invalid_actions: PerAction | None = None,
    extra_data: Any = None,
) -> mctx.Tree:
    """Runs `tree_search.search`; the selection functions are called at decisions only."""
    num_actions = model.num_actions
    if invalid_actions is None:
        invalid_actions = jnp.zeros_like(root.prior_logits)

    def select_at_root(key: chex.PRNGKey, tree: mctx.Tree, node: Array) -> Array:
        return root_action_selection_fn(key, _decisions(tree, num_actions), node)

    def select(key: chex.PRNGKey, tree: mctx.Tree, node: Array, depth: Array) -> Array:
        def decide() -> Array:
            decisions = _decisions(tree, num_actions)
            return interior_action_selection_fn(key, decisions, node, depth).astype(jnp.int32)

        def happen() -> Array:
            if sample_outcomes:
                return draw_outcome(key, tree, node, num_actions)
            return select_outcome(tree, node, num_actions)

        return jax.lax.cond(depth % 2 == 0, decide, happen)

    padding = ((0, 0), (0, model.num_outcomes))
    tree = tree_search.search(
        params,
        rng_key,
        root=dataclasses.replace(
            root, prior_logits=_pad(root.prior_logits, after=model.num_outcomes)
        ),
        recurrent_fn=recurrent_fn,
        root_action_selection_fn=select_at_root,
        interior_action_selection_fn=select,
        num_simulations=num_simulations,
        max_depth=None if max_depth is None else 2 * max_depth,
        invalid_actions=jnp.pad(invalid_actions, padding, constant_values=1),
        extra_data=extra_data,
        num_actions=num_actions,
    )
    return _decisions(tree, num_actions)


def _decisions(tree: mctx.Tree, num_actions: int) -> mctx.Tree:
    """Returns the tree with the edges of actions only."""
    cut = {name: getattr(tree, name)[..., :num_actions] for name in _PER_EDGE}
    return dataclasses.replace(tree, **cut)


def _pad(logits: PerAction, before: int = 0, after: int = 0) -> jax.Array:
    """Adds edges of the other kind `[B, before + ... + after]`, which are never selected."""
    # Finite, because drawings of the tree take the softmax of nodes with edges of that kind only.
    lowest = jnp.finfo(logits.dtype).min
    return jnp.pad(logits, ((0, 0), (before, after)), constant_values=lowest)
