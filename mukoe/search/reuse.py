"""Reuse of search trees between the moves of a game.

The search of a move starts from the subtree that the own move and the replies led to:

    last search           moves                next search
    s_0 -a-> s_1 -b-> s_2 a, b were played     s_2, with its visits, values and children

A node is that of the new position if its state is the same, so that a new game, a move that is
taken back or any other position start afresh.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from mukoe.errors import UserError
from mukoe.nests import zeros
from mukoe.search.base import SearchModel
from mukoe.search.config import SearchConfig
from mukoe.search.nodes import NONE, Nodes, subtree
from mukoe.search.tree_search import search
from mukoe.types import Array, EnvironmentSpec, Nest, num_reward_players

# Nodes that are kept at most, over the simulations of a search.
_KEPT = 2


class KeptTree(NamedTuple):
    """Trees of the last searches in `B` games.

    nodes: nodes of the trees, all unused before the first search.
    learner_steps: `[B]` int32 learner steps of their parameters.
    """

    nodes: Nodes
    learner_steps: Array


class PlayState(NamedTuple):
    """State of a policy that reuses trees, for `B` games.

    observed: state of the policy without the reuse.
    tree: trees of the last searches.
    """

    observed: Nest
    tree: KeptTree


def reuses_tree(config: SearchConfig, model: SearchModel) -> bool:
    """Returns whether searches of an evaluation start from the tree of the previous one.

    Raises:
      UserError: the model has no true states, or chance nodes.
    """
    if not config.evaluation_reuse_tree:
        return False
    if model.position is None or model.search is not search:
        raise UserError(
            "search.evaluation_reuse_tree needs an agent that searches the rules of a game without "
            "chance (AlphaZero): only there the states of the tree are those of the game"
        )
    return config.num_simulations > 0


def nodes_of_reused_tree(config: SearchConfig) -> int:
    """Returns the number of nodes of a tree: those that are kept, and those of a search."""
    return (_KEPT + 1) * config.num_simulations + 1


def no_tree(
    config: SearchConfig, model: SearchModel, environment_spec: EnvironmentSpec, batch_size: int
) -> KeptTree:
    """Returns trees without nodes."""
    assert model.position is not None
    num_actions = int(environment_spec.actions.num_values)
    players = num_reward_players(environment_spec)
    size = (batch_size, nodes_of_reused_tree(config))
    position = model.embed_position(zeros(model.position, 1))
    nodes = Nodes(
        numbers=jnp.zeros((*size, *((players,) if players else ()), 5)),
        prior_logits=jnp.zeros((*size, num_actions)),
        children=jnp.full((*size, num_actions), NONE, jnp.int32),
        links=jnp.full((*size, 3), NONE, jnp.int32),
        embeddings=jax.tree.map(lambda x: jnp.zeros((*size, *x.shape[1:]), x.dtype), position),
        player=jnp.zeros(size, jnp.int32) if players else (),
    )
    return KeptTree(nodes, jnp.zeros(batch_size, jnp.int32))


def kept_nodes(
    config: SearchConfig, tree: KeptTree, state: Nest, learner_steps: chex.Numeric
) -> Nodes:
    """Returns the subtrees of states, without nodes where the tree does not have the state.

    Args:
      config: settings of the search, which has room for its simulations in the trees.
      tree: trees of the last searches.
      state: `[B, ...]` states of the new roots, as the embeddings of the trees.
      learner_steps: `[]` learner steps of the parameters; trees of others are not kept.
    """
    root = _find(tree.nodes, state)
    root = jnp.where(tree.learner_steps == learner_steps, root, NONE)
    return subtree(tree.nodes, root, limit=_KEPT * config.num_simulations + 1)


def root_visits(nodes: Nodes) -> jax.Array:
    """Returns the visits `[B, A]` int32 of the actions of the roots."""
    children = nodes.children[:, 0]
    visits = jnp.take_along_axis(nodes.visits, jnp.maximum(children, 0), axis=1)
    return jnp.where(children == NONE, 0, visits).astype(jnp.int32)


def _find(nodes: Nodes, state: Nest) -> jax.Array:
    """Returns the most visited nodes `[B]` of states `[B, ...]`; `NONE` where there is none."""
    same = nodes.visits > 0
    for theirs, own in zip(jax.tree.leaves(nodes.embeddings), jax.tree.leaves(state), strict=True):
        same &= jnp.all(theirs == own[:, None], axis=tuple(range(2, theirs.ndim)))
    visits = jnp.where(same, nodes.visits, 0)
    return jnp.where(jnp.any(same, axis=1), jnp.argmax(visits, axis=1), NONE)


def without_trees(state: Nest, initial: Nest) -> Nest:
    """Returns states of policies whose trees are those of `initial`, a state of the same shape."""

    def chosen(own: Nest, fresh: Nest) -> Nest:
        return fresh if isinstance(own, KeptTree) else own

    return jax.tree.map(chosen, state, initial, is_leaf=lambda x: isinstance(x, KeptTree))
