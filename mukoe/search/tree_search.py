"""Tree search with the trees of `mctx.search` up to rounding, at lower cost.

mctx backs up from the leaf with the tree in a vmapped loop, so every step copies `[B, N, A]`
arrays, and it stores the statistics of a node twice, at the node and at its parent. Here all
statistics of a node are one row of one array, written once:

    selection    stores the visited nodes in `path` [D+1, B]
    expansion    simulation i writes node i + 1 of every batch entry: one slice, no scatter
    backup       computes the returns along the path, `[B]` numbers at each step
    update       one pass over the nodes: node n is on the path if path[level(n)] is n

The random keys are `unrolled`: their numbers are the same, without a loop for each draw.

In games of three and more players values and rewards have a further axis, see
`mukoe.search.players`; a selection function is shown the numbers of the player to move.
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
from mukoe.search.nodes import (
    ACTION,
    DISCOUNT,
    LEVEL,
    NONE,
    PARENT,
    RAW_VALUE,
    REWARD,
    VALUE,
    VISITS,
    Nodes,
    expand_to,
)
from mukoe.search.players import PlayersOutput, PlayersRoot, PlayersTree
from mukoe.search.q_normalization import SearchExtraData, range_of
from mukoe.search.threefry import rolled, unrolled
from mukoe.shapes import check_shape
from mukoe.types import Array, Nest, Params, PerAction, num_bytes

# In a batch of one no walk waits for others; below about this number mctx's tree costs less.
_MANY_SIMULATIONS = 100


class _Walk(NamedTuple):
    """Selection from the root in `B` trees; finished walks wait for the others.

    depth: `[]` int32 depth of the unfinished walks.
    keys: `[B, ...]` random keys.
    node, action: `[B]` int32, the last node so far and the action selected there.
    child: `[B]` int32, the child of that action; `NONE` where the walk has ended.
    lengths: `[B]` int32, number of actions so far.
    path: `[D+1, B]` int32, the nodes so far by depth; `NONE` below.
    """

    depth: Array
    keys: Array
    node: Array
    action: Array
    child: Array
    lengths: Array
    path: Array


class _Settings(NamedTuple):
    """Settings of a search, the same for all simulations; see `search`.

    first: index of the node of the first simulation, or `[B]` of them.
    depth_limit: largest number of actions of a walk.
    always_new: True without a limit that matters: every walk ends at a new node.
    """

    params: Params
    recurrent_fn: mctx.RecurrentFn
    root_action_selection_fn: mctx.RootActionSelectionFn
    interior_action_selection_fn: mctx.InteriorActionSelectionFn
    invalid_actions: PerAction
    extra_data: Any
    num_actions: int
    first: Array
    depth_limit: int
    always_new: bool


def search(
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
    num_actions: int | None = None,
    kept: Nodes | None = None,
) -> mctx.Tree:
    """Searches with the arguments of `mctx.search`, and returns the same tree.

    A selection function may read the node that it selects at, but not its embedding: its tree
    consists of that node alone, with index 0. A `SearchExtraData` is shown with the `q_range` of
    the whole tree.

    Args:
      params: network parameters, forwarded to `recurrent_fn`.
      rng_key: random key.
      root: prior logits `[B, A]`, value `[B]`, embedding `[B, ...]`; or a `PlayersRoot`.
      recurrent_fn: model, see `mctx.search`; its outputs are `PlayersOutput`s with such a root.
      root_action_selection_fn: `(key, tree, node_index) -> action`, unbatched.
      interior_action_selection_fn: `(key, tree, node_index, depth) -> action`, unbatched.
      num_simulations: number of model calls, at least 1.
      max_depth: limit of actions from the root; None for no limit.
      invalid_actions: `[B, A]` mask of the root, 1 on invalid actions.
      extra_data: `[B, ...]` data of the selection functions.
      num_actions: number of edges per node whose Q-values are in `q_range`, the first ones;
        None for all.
      kept: trees to continue, with room for `num_simulations` more nodes: their roots are those of
        `root`, but for visits and values. A tree without nodes starts afresh.

    Raises:
      UserError: an output of `recurrent_fn` has the wrong shape.

    Returns:
      The tree; with such a root a `PlayersTree`.
    """
    recurrent_fn = _with_rolled_keys(_with_checked_shapes(recurrent_fn, root), rng_key)
    rng_key = unrolled(rng_key)
    if invalid_actions is None:
        invalid_actions = jnp.zeros_like(root.prior_logits)
    batch_size, num_edges = root.prior_logits.shape
    has_players = isinstance(root, PlayersRoot)
    has_few = batch_size == 1 and num_simulations < _MANY_SIMULATIONS
    if has_few and not has_players and kept is None:
        return mctx.search(
            params,
            rng_key,
            root=root,
            recurrent_fn=recurrent_fn,
            root_action_selection_fn=root_action_selection_fn,
            interior_action_selection_fn=interior_action_selection_fn,
            num_simulations=num_simulations,
            max_depth=max_depth,
            invalid_actions=invalid_actions,
            extra_data=extra_data,
        )
    # No walk is longer than there are nodes below the root.
    most_nodes = num_simulations if kept is None else kept.links.shape[1] - 1
    nodes, first = _root_nodes(root, most_nodes + 1), jnp.int32(1)
    if kept is not None:
        nodes, first = _continue(kept, nodes)
    depth_limit = min(most_nodes, max_depth or most_nodes)
    settings = _Settings(
        params=params,
        recurrent_fn=recurrent_fn,
        root_action_selection_fn=root_action_selection_fn,
        interior_action_selection_fn=interior_action_selection_fn,
        invalid_actions=invalid_actions,
        extra_data=extra_data,
        num_actions=num_actions or num_edges,
        first=first,
        depth_limit=depth_limit,
        always_new=depth_limit >= most_nodes,
    )
    simulate = functools.partial(_simulate, settings)
    _, nodes = jax.lax.fori_loop(0, num_simulations, simulate, (rng_key, nodes))
    return _to_mctx(nodes, invalid_actions, extra_data)


def tree_bytes(root: mctx.RootFnOutput, num_nodes: int) -> int:
    """Returns the bytes of search trees.

    Args:
      root: root of the search, as arrays or as shapes and types.
      num_nodes: number of nodes.
    """
    numbers, links = 5, 3
    batch_size = root.prior_logits.shape[0]
    num_floats = root.prior_logits.size * 2 + root.value.size * numbers + batch_size * links
    return num_nodes * (4 * num_floats + num_bytes(root.embedding))


def _with_checked_shapes(
    recurrent_fn: mctx.RecurrentFn, root: mctx.RootFnOutput
) -> mctx.RecurrentFn:
    """Returns a model whose outputs are checked to have the shapes of the root's."""

    def checked(params: Params, key: chex.PRNGKey, action: Array, embedding: Nest):
        step, embedding = recurrent_fn(params, key, action, embedding)
        for name, shape in (
            ("reward [B]", root.value.shape),
            ("discount [B]", root.value.shape[:1]),
            ("prior_logits [B, A]", root.prior_logits.shape),
            ("value [B]", root.value.shape),
        ):
            check_shape(f"the model's {name}", getattr(step, name.split()[0]), shape)
        jax.tree.map(
            lambda new, old: check_shape("the model's embedding [B, ...]", new, old.shape),
            embedding,
            root.embedding,
        )
        return step, embedding

    return checked


def _with_rolled_keys(recurrent_fn: mctx.RecurrentFn, original: chex.PRNGKey) -> mctx.RecurrentFn:
    """Returns a model whose unrolled keys are passed on as keys of the kind of `original`."""

    def with_rolled_key(params: Params, key: chex.PRNGKey, action: Array, embedding: Nest):
        return recurrent_fn(params, rolled(key, original), action, embedding)

    return with_rolled_key


def _simulate(
    settings: _Settings, simulation: Array, carry: tuple[chex.PRNGKey, Nodes]
) -> tuple[chex.PRNGKey, Nodes]:
    """Selects, expands and backs up in `B` trees; `carry` holds the random key and the trees."""
    key, nodes = carry
    key, walk_key, model_key = jax.random.split(key, 3)
    batch_size = nodes.links.shape[0]
    walk = _walk(
        jax.random.split(walk_key, batch_size),
        _views(settings, nodes),
        settings.root_action_selection_fn,
        settings.interior_action_selection_fn,
        settings.depth_limit,
    )
    embedding = jax.tree.map(lambda whole: _take(whole, walk.node), nodes.embeddings)
    step, embedding = settings.recurrent_fn(settings.params, model_key, walk.action, embedding)
    new = jnp.broadcast_to(settings.first + simulation, batch_size).astype(jnp.int32)
    leaf = new if settings.always_new else jnp.where(walk.child == NONE, new, walk.child)
    in_one_column = settings.always_new and settings.first.ndim == 0
    put = functools.partial(_put_column, simulation + 1) if in_one_column else _put(leaf)
    # At the depth limit a node is expanded again.
    visits = 1.0 if settings.always_new else _take(nodes.numbers, leaf)[..., VISITS] + 1.0
    nodes = _expand(nodes, walk, leaf, visits, step, embedding, put)
    return key, _back_up(nodes, walk, leaf, jnp.asarray(step.value))


def _views(settings: _Settings, nodes: Nodes) -> Callable[[Array], mctx.Tree]:
    """Returns the function from nodes `[B]` to their trees of one node each."""
    extra_data, shown = settings.extra_data, nodes._replace(embeddings=())
    if isinstance(extra_data, SearchExtraData):
        q_range = _q_range(nodes, settings.num_actions)
        extra_data = dataclasses.replace(extra_data, q_range=q_range)
    return lambda node: jax.vmap(_view)(shown, node, settings.invalid_actions, extra_data)


def _q_range(nodes: Nodes, num_actions: int) -> jax.Array:
    """Returns the extremes `[B, 2]`, or `[B, P, 2]`, of the Q-values of visited actions.

    The Q-value of an action is that of the edge to its node.
    """
    edge = nodes.links[..., ACTION]
    visited = (edge != NONE) & (edge < num_actions)
    numbers = nodes.numbers
    qvalues = numbers[..., REWARD] + numbers[..., DISCOUNT] * numbers[..., VALUE]
    if jax.tree.leaves(nodes.player):
        return jax.vmap(jax.vmap(range_of, (-1, None)))(qvalues, visited)
    return jax.vmap(range_of)(qvalues, visited)


def _root_nodes(root: mctx.RootFnOutput, size: int) -> Nodes:
    """Returns a tree of the root with capacity for `size` nodes."""
    value = jnp.asarray(root.value)
    batch_size, num_actions = root.prior_logits.shape

    def first(x: Array) -> Array:
        return jnp.zeros((batch_size, size, *x.shape[1:]), x.dtype).at[:, 0].set(x)

    nothing = jnp.zeros_like(value)
    links = jnp.full((batch_size, size, 3), NONE, jnp.int32)
    return Nodes(
        numbers=first(jnp.stack([nothing + 1, value, value, nothing, nothing], axis=-1)),
        prior_logits=first(jnp.asarray(root.prior_logits)),
        children=jnp.full((batch_size, size, num_actions), NONE, jnp.int32),
        links=links.at[..., LEVEL].set(0),
        embeddings=jax.tree.map(first, root.embedding),
        player=first(root.player) if isinstance(root, PlayersRoot) else (),
    )


def _continue(kept: Nodes, roots: Nodes) -> tuple[Nodes, jax.Array]:
    """Returns trees to grow and their numbers of nodes `[B]`: kept ones, or new roots."""
    kept = jax.tree.map(lambda own, new: own.astype(new.dtype), kept, roots)
    prior_logits = kept.prior_logits.at[:, 0].set(roots.prior_logits[:, 0])
    count = jnp.sum(kept.visits > 0, axis=1)
    nodes = tree_where(count > 0, kept._replace(prior_logits=prior_logits), roots)
    return nodes, jnp.maximum(count, 1)


def _view(nodes: Nodes, node: Array, invalid_actions: PerAction, extra_data: Any) -> mctx.Tree:
    """Returns the tree of one node, without batch axis, as selection functions read it."""
    own = jax.tree.map(lambda x: x[node][None], nodes)
    theirs, numbers = _numbers_of(nodes.numbers, own.children), own.numbers
    if jax.tree.leaves(nodes.player):
        player = own.player[0]
        numbers, theirs = numbers[:, player], theirs[:, :, player]
        if isinstance(extra_data, SearchExtraData):
            extra_data = dataclasses.replace(extra_data, q_range=extra_data.q_range[player])
    return mctx.Tree(
        **_split_numbers(numbers, theirs),
        parents=own.links[..., PARENT],
        action_from_parent=own.links[..., ACTION],
        children_index=own.children,
        children_prior_logits=own.prior_logits,
        embeddings=(),
        root_invalid_actions=invalid_actions,
        extra_data=extra_data,
    )


def _walk(
    keys: chex.PRNGKey,
    view: Callable[[Array], mctx.Tree],
    root_action_selection_fn: Callable[..., Array],
    interior_action_selection_fn: Callable[..., Array],
    depth_limit: int,
) -> _Walk:
    """Selects from the root until there is no child, or to the depth limit."""
    batch_size = keys.shape[0]

    def select(select_fn: Callable, keys: chex.PRNGKey, node: Array):
        keys, select_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
        tree = view(node)
        action = jax.vmap(select_fn, in_axes=(0, 0, None))(select_keys, tree, 0)
        return keys, action, _take(jnp.asarray(tree.children_index)[:, 0], action)

    def step(walk: _Walk) -> _Walk:
        going = walk.child != NONE
        path = jax.lax.dynamic_update_index_in_dim(walk.path, walk.child, walk.depth, 0)
        keys, action, child = select(
            lambda *inputs: interior_action_selection_fn(*inputs, walk.depth),
            walk.keys,
            jnp.maximum(walk.child, 0),
        )
        return _Walk(
            depth=walk.depth + 1,
            keys=keys,
            node=jnp.where(going, walk.child, walk.node),
            action=jnp.where(going, action, walk.action),
            child=jnp.where(going, child, NONE),
            lengths=walk.lengths + going,
            path=path,
        )

    def is_going(walk: _Walk) -> Array:
        return jnp.any(walk.child != NONE) & (walk.depth < depth_limit)

    node = jnp.zeros(batch_size, jnp.int32)
    keys, action, child = select(root_action_selection_fn, keys, node)
    path = jnp.full((depth_limit + 1, batch_size), NONE, jnp.int32).at[0].set(0)
    lengths = jnp.ones(batch_size, jnp.int32)
    first = _Walk(jnp.int32(1), keys, node, action, child, lengths, path)
    return jax.lax.while_loop(is_going, step, first)


def _expand(
    nodes: Nodes,
    walk: _Walk,
    leaf: Array,
    visits: chex.Numeric,
    step: mctx.RecurrentFnOutput,
    embedding: Nest,
    put: Callable[[Array, Array], Array],
) -> Nodes:
    """Writes the model's outputs at `leaf` `[B]`; `put(array, values)` writes there."""
    value = jnp.asarray(step.value)
    visits = jnp.broadcast_to(visits, value.shape)
    discount = jnp.broadcast_to(expand_to(value.ndim, step.discount), value.shape)
    numbers = jnp.stack([visits, value, value, step.reward, discount], axis=-1)
    links = jnp.stack([walk.node, walk.action, walk.lengths], axis=-1)
    rows = jnp.arange(leaf.shape[0])
    return Nodes(
        numbers=put(nodes.numbers, numbers),
        prior_logits=put(nodes.prior_logits, step.prior_logits),
        children=nodes.children.at[rows, walk.node, walk.action].set(leaf),
        links=put(nodes.links, links),
        embeddings=jax.tree.map(put, nodes.embeddings, embedding),
        player=put(nodes.player, step.player) if isinstance(step, PlayersOutput) else (),
    )


def _back_up(nodes: Nodes, walk: _Walk, leaf: Array, leaf_values: Array) -> Nodes:
    """Adds the returns from the leaf to the nodes on the path."""
    returns = jnp.zeros((*walk.path.shape, *leaf_values.shape[1:]), nodes.numbers.dtype)

    def step(carry):
        depth, child, value, returns = carry
        parent = walk.path[depth - 1]
        on_path = parent != NONE
        numbers = _take(nodes.numbers, child)
        backed_up = numbers[..., REWARD] + numbers[..., DISCOUNT] * value
        value = jnp.where(expand_to(value.ndim, on_path), backed_up, value)
        returns = jax.lax.dynamic_update_index_in_dim(returns, value, depth - 1, 0)
        return depth - 1, jnp.where(on_path, parent, child), value, returns

    carry = (walk.depth, leaf, leaf_values, returns)
    *_, returns = jax.lax.while_loop(lambda carry: carry[0] > 0, step, carry)
    columns = jnp.arange(leaf.shape[0])[:, None]
    levels = nodes.links[..., LEVEL]
    index = jnp.arange(levels.shape[1])
    on_path = (walk.path[levels, columns] == index) & (index != leaf[:, None])
    visits = nodes.numbers[..., VISITS]
    value = nodes.numbers[..., VALUE] * visits + returns[levels, columns]
    updated = jnp.stack([visits + 1.0, value / (visits + 1.0)], axis=-1)
    updated = jnp.concatenate([updated, nodes.numbers[..., RAW_VALUE:]], axis=-1)
    on_path = expand_to(updated.ndim, on_path)
    return nodes._replace(numbers=jnp.where(on_path, updated, nodes.numbers))


def _to_mctx(nodes: Nodes, invalid_actions: PerAction, extra_data: Any) -> mctx.Tree:
    numbers, theirs = nodes.numbers, jax.vmap(_numbers_of)(nodes.numbers, nodes.children)
    has_players = bool(jax.tree.leaves(nodes.player))
    if has_players:
        of_player = jax.vmap(jax.vmap(lambda vectors, player: vectors[..., player, :]))
        numbers, theirs = of_player(numbers, nodes.player), of_player(theirs, nodes.player)
    fields = dict(
        **_split_numbers(numbers, theirs),
        parents=nodes.links[..., PARENT],
        action_from_parent=nodes.links[..., ACTION],
        children_index=nodes.children,
        children_prior_logits=nodes.prior_logits,
        embeddings=nodes.embeddings,
        root_invalid_actions=invalid_actions,
        extra_data=extra_data,
    )
    if not has_players:
        return mctx.Tree(**fields)
    return PlayersTree(
        **fields,
        player=nodes.player,
        value_vectors=nodes.numbers[..., VALUE],
        raw_vectors=nodes.numbers[..., RAW_VALUE],
        reward_vectors=nodes.numbers[..., REWARD],
    )


def _split_numbers(own: Array, theirs: Array) -> dict[str, Array]:
    """Returns the fields of mctx's tree from nodes `[..., N, 5]` and children `[..., N, A, 5]`."""
    return {
        "node_visits": own[..., VISITS].astype(jnp.int32),
        "raw_values": own[..., RAW_VALUE],
        "node_values": own[..., VALUE],
        "children_visits": theirs[..., VISITS].astype(jnp.int32),
        "children_rewards": theirs[..., REWARD],
        "children_discounts": theirs[..., DISCOUNT],
        "children_values": theirs[..., VALUE],
    }


def _numbers_of(numbers: Array, nodes: Array) -> Array:
    """Rows of `numbers` `[N, ..., 5]`; zeros for `NONE`."""
    rows = numbers[nodes]
    return jnp.where(expand_to(rows.ndim, nodes != NONE), rows, 0.0)


def _take(array: Array, index: Array) -> Array:
    """`array[b, index[b]]` for each `b`."""
    return array[jnp.arange(index.shape[0]), index]


def _put(index: Array) -> Callable[[Array, Array], Array]:
    """Returns a function that writes `values[b]` to `array[b, index[b]]`."""
    return lambda array, values: array.at[jnp.arange(index.shape[0]), index].set(values)


def _put_column(index: Array, array: Array, values: Array) -> Array:
    """Writes `values` to `array[:, index]`."""
    return jax.lax.dynamic_update_index_in_dim(array, values, index, 1)
