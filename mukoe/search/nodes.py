"""Nodes of search trees as arrays, and the subtree below a node as a tree of its own."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import mctx

from mukoe.search.players import PlayersTree
from mukoe.search.statistics import node_depths
from mukoe.types import Array, Nest

NONE = mctx.Tree.UNVISITED
"""Index of no node and of no action."""

# Columns of `Nodes.numbers`.
VISITS, VALUE, RAW_VALUE, REWARD, DISCOUNT = range(5)
# Columns of `Nodes.links`.
PARENT, ACTION, LEVEL = range(3)


class Nodes(NamedTuple):
    """Tree of the search; `N` nodes, of which 0 is the root and those without visits are unused.

    numbers: `[B, N, 5]` float32: visit count, mean value, the network's value, and the reward and
        discount of the edge from the parent; `[B, N, P, 5]` with `P` players. 0 in unused nodes.
    prior_logits: `[B, N, A]`.
    children: `[B, N, A]` int32, `NONE` where there is none.
    links: `[B, N, 3]` int32: the parent and the action there that leads to the node, `NONE`
        for the root; and the actions from the root.
    embeddings: `[B, N, ...]`.
    player: `[B, N]` int32, seat of the player to move; `()` for one player or two.
    """

    numbers: Array
    prior_logits: Array
    children: Array
    links: Array
    embeddings: Nest
    player: Nest = ()

    @property
    def visits(self) -> jax.Array:
        """Visit counts `[B, N]`; 0 of unused nodes."""
        visits = jnp.asarray(self.numbers)[..., VISITS]
        return visits[..., 0] if jax.tree.leaves(self.player) else visits


def nodes_of(tree: mctx.Tree) -> Nodes:
    """Returns the nodes of a tree of mctx or of a `PlayersTree`, with float32 numbers."""
    parents, actions = jnp.asarray(tree.parents), jnp.asarray(tree.action_from_parent)
    rows = jnp.arange(parents.shape[0])[:, None]
    has_parent = parents != NONE

    def of_edge(numbers: Array) -> jax.Array:
        return jnp.where(has_parent, jnp.asarray(numbers)[rows, parents, actions], 0.0)

    visits, discount = jnp.asarray(tree.node_visits), of_edge(tree.children_discounts)
    if isinstance(tree, PlayersTree):
        shape = tree.value_vectors.shape
        columns = (
            jnp.broadcast_to(visits[..., None], shape),
            tree.value_vectors,
            tree.raw_vectors,
            tree.reward_vectors,
            jnp.broadcast_to(discount[..., None], shape),
        )
    else:
        reward = of_edge(tree.children_rewards)
        columns = visits, tree.node_values, tree.raw_values, reward, discount
    return Nodes(
        numbers=jnp.stack([jnp.asarray(column, jnp.float32) for column in columns], axis=-1),
        prior_logits=jnp.asarray(tree.children_prior_logits, jnp.float32),
        children=jnp.asarray(tree.children_index),
        links=jnp.stack([parents, actions, node_depths(parents)], axis=-1),
        embeddings=tree.embeddings,
        player=tree.player if isinstance(tree, PlayersTree) else (),
    )


def subtree(nodes: Nodes, root: Array, limit: int) -> Nodes:
    """Returns the trees below nodes, which become their roots, with room for as many nodes.

    The order of the nodes is kept, so that parents are in front of their children. Of a tree with
    more than `limit` nodes the first ones stay, and visits and values are those of their
    evaluations alone: the tree as it was when it had `limit` nodes.

    Args:
      nodes: trees of `N` nodes.
      root: `[B]` indices of nodes; `NONE` for a tree without nodes.
      limit: number of nodes that the trees may have.
    """
    parents = nodes.links[..., PARENT]
    batch_size, size = parents.shape
    rows, index = jnp.arange(batch_size)[:, None], jnp.arange(size)
    ancestor = jnp.where((parents == NONE) | (index == root[:, None]), index, parents)
    # Pointer jumping: the distance to the ancestor that is looked at doubles each time.
    for _ in range((size - 1).bit_length()):
        ancestor = jnp.take_along_axis(ancestor, ancestor, axis=1)
    below = ancestor == root[:, None]
    number = jnp.cumsum(below, axis=1)
    kept = below & (number <= limit)
    order = jnp.argsort(~kept, axis=1, stable=True)
    used = index < jnp.sum(kept, axis=1, keepdims=True)
    is_root = used & (index == 0)

    def moved(array: Array, unused: int = 0) -> jax.Array:
        array = jnp.asarray(array)[rows, order]
        return jnp.where(expand_to(array.ndim, used), array, jnp.asarray(unused, array.dtype))

    def renamed(links: Array) -> jax.Array:
        new = jnp.where(kept, number - 1, NONE)[rows, links.reshape(batch_size, -1)]
        return jnp.where(links == NONE, NONE, new.reshape(links.shape))

    old = moved(nodes.links, NONE)
    links = jnp.stack(
        [
            renamed(old[..., PARENT]),
            jnp.where(is_root, NONE, old[..., ACTION]),
            jnp.where(used, old[..., LEVEL] - old[:, :1, LEVEL], 0),
        ],
        axis=-1,
    )
    numbers = moved(nodes.numbers)
    # The root has no edge to it.
    edge = jnp.arange(numbers.shape[-1]) >= REWARD
    numbers = jnp.where(expand_to(numbers.ndim, is_root) & edge, 0.0, numbers)
    evaluations = moved(_evaluations(nodes))
    is_complete = number[:, -1] <= limit
    numbers = jnp.where(
        expand_to(numbers.ndim, is_complete),
        numbers,
        _of_evaluations(numbers, links, evaluations),
    )
    return Nodes(
        numbers=numbers,
        prior_logits=moved(nodes.prior_logits),
        children=renamed(moved(nodes.children, NONE)),
        links=links,
        embeddings=jax.tree.map(moved, nodes.embeddings),
        player=jax.tree.map(moved, nodes.player),
    )


def _evaluations(nodes: Nodes) -> jax.Array:
    """Returns the visits `[B, N]`, or `[B, N, P]`, of nodes that end there.

    It is 1, and more at the depth limit of a search.
    """
    visits = nodes.numbers[..., VISITS]
    return visits - _sum_at_parents(visits, nodes.links)


def _of_evaluations(numbers: Array, links: Array, evaluations: Array) -> jax.Array:
    """Returns numbers whose visits and values are those of a tree's own evaluations.

    Node `s` has `N(s) = n(s) + Σ_c N(c)` visits, of which `n(s)` end there, and the value

        V(s) = (n(s) v(s) + Σ_c N(c) (r(c) + γ(c) V(c))) / N(s)
    """
    level = expand_to(evaluations.ndim, links[..., LEVEL])

    def add_level(carry: tuple) -> tuple:
        depth, visits, total = carry
        value = total / jnp.maximum(visits, 1.0)
        returns = visits * (numbers[..., REWARD] + numbers[..., DISCOUNT] * value)
        here = level == depth
        visits += _sum_at_parents(jnp.where(here, visits, 0.0), links)
        return depth - 1, visits, total + _sum_at_parents(jnp.where(here, returns, 0.0), links)

    start = jnp.max(links[..., LEVEL]), evaluations, evaluations * numbers[..., RAW_VALUE]
    _, visits, total = jax.lax.while_loop(lambda carry: carry[0] > 0, add_level, start)
    value = total / jnp.maximum(visits, 1.0)
    counted = jnp.stack([visits, value], axis=-1)
    return jnp.concatenate([counted, numbers[..., RAW_VALUE:]], axis=-1)


def _sum_at_parents(array: Array, links: Array) -> jax.Array:
    """Returns the sums `[B, N, ...]` over the children of each node."""
    parents = links[..., PARENT]
    rows, size = jnp.arange(parents.shape[0])[:, None], parents.shape[1]
    outside = jnp.where(parents == NONE, size, parents)
    return jnp.zeros_like(array).at[rows, outside].add(array, mode="drop")


def expand_to(rank: int, array: Array) -> jax.Array:
    """Returns an array with further axes of length 1 behind its own, `rank` in all."""
    return jnp.expand_dims(array, tuple(range(jnp.ndim(array), rank)))
