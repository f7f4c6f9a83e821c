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

from mukoe.search.players import PlayersOutput, PlayersRoot, PlayersTree
from mukoe.search.q_normalization import SearchExtraData, range_of
from mukoe.search.threefry import rolled, unrolled
from mukoe.shapes import check_shape
from mukoe.types import Array, Nest, Params, PerAction, num_bytes

# In a batch of one no walk waits for others; below about this number mctx's tree costs less.
_MANY_SIMULATIONS = 100
_NONE = mctx.Tree.UNVISITED
# Columns of `_Nodes.numbers`.
_VISITS, _VALUE, _RAW_VALUE, _REWARD, _DISCOUNT = range(5)
# Columns of `_Nodes.links`.
_PARENT, _ACTION, _LEVEL = range(3)


class _Nodes(NamedTuple):
    """Tree of the search; `N` nodes, of which 0 is the root.

    numbers: `[B, N, 5]` float32: visit count, mean value, the network's value, and the reward and
        discount of the edge from the parent; `[B, N, P, 5]` with `P` players.
    prior_logits: `[B, N, A]`.
    children: `[B, N, A]` int32, `_NONE` where there is none.
    links: `[B, N, 3]` int32: the parent and the action there that leads to the node, `_NONE`
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


class _Walk(NamedTuple):
    """Selection from the root in `B` trees; finished walks wait for the others.

    depth: `[]` int32 depth of the unfinished walks.
    keys: `[B, ...]` random keys.
    node, action: `[B]` int32, the last node so far and the action selected there.
    child: `[B]` int32, the child of that action; `_NONE` where the walk has ended.
    lengths: `[B]` int32, number of actions so far.
    path: `[D+1, B]` int32, the nodes so far by depth; `_NONE` below.
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
    if batch_size == 1 and num_simulations < _MANY_SIMULATIONS and not has_players:
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
    # No walk is longer than there are simulations.
    depth_limit = min(num_simulations, max_depth or num_simulations)
    settings = _Settings(
        params=params,
        recurrent_fn=recurrent_fn,
        root_action_selection_fn=root_action_selection_fn,
        interior_action_selection_fn=interior_action_selection_fn,
        invalid_actions=invalid_actions,
        extra_data=extra_data,
        num_actions=num_actions or num_edges,
        depth_limit=depth_limit,
        always_new=depth_limit >= num_simulations,
    )
    simulate = functools.partial(_simulate, settings)
    nodes = _plant(root, num_simulations + 1)
    _, nodes = jax.lax.fori_loop(0, num_simulations, simulate, (rng_key, nodes))
    return _to_mctx(nodes, invalid_actions, extra_data)


def tree_bytes(root: mctx.RootFnOutput, num_simulations: int) -> int:
    """Returns the bytes of the tree of a search.

    Args:
      root: root of the search, as arrays or as shapes and types.
      num_simulations: number of model calls.
    """
    numbers, links = 5, 3
    batch_size = root.prior_logits.shape[0]
    num_floats = root.prior_logits.size * 2 + root.value.size * numbers + batch_size * links
    return (num_simulations + 1) * (4 * num_floats + num_bytes(root.embedding))


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
    settings: _Settings, simulation: Array, carry: tuple[chex.PRNGKey, _Nodes]
) -> tuple[chex.PRNGKey, _Nodes]:
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
    new = jnp.full(batch_size, simulation + 1, jnp.int32)
    leaf = new if settings.always_new else jnp.where(walk.child == _NONE, new, walk.child)
    put = functools.partial(_put_column, simulation + 1) if settings.always_new else _put(leaf)
    # At the depth limit a node is expanded again.
    visits = 1.0 if settings.always_new else _take(nodes.numbers, leaf)[..., _VISITS] + 1.0
    nodes = _expand(nodes, walk, leaf, visits, step, embedding, put)
    return key, _back_up(nodes, walk, leaf, jnp.asarray(step.value))


def _views(settings: _Settings, nodes: _Nodes) -> Callable[[Array], mctx.Tree]:
    """Returns the function from nodes `[B]` to their trees of one node each."""
    extra_data, shown = settings.extra_data, nodes._replace(embeddings=())
    if isinstance(extra_data, SearchExtraData):
        q_range = _q_range(nodes, settings.num_actions)
        extra_data = dataclasses.replace(extra_data, q_range=q_range)
    return lambda node: jax.vmap(_view)(shown, node, settings.invalid_actions, extra_data)


def _q_range(nodes: _Nodes, num_actions: int) -> jax.Array:
    """Returns the extremes `[B, 2]`, or `[B, P, 2]`, of the Q-values of visited actions.

    The Q-value of an action is that of the edge to its node.
    """
    edge = nodes.links[..., _ACTION]
    visited = (edge != _NONE) & (edge < num_actions)
    numbers = nodes.numbers
    qvalues = numbers[..., _REWARD] + numbers[..., _DISCOUNT] * numbers[..., _VALUE]
    if jax.tree.leaves(nodes.player):
        return jax.vmap(jax.vmap(range_of, (-1, None)))(qvalues, visited)
    return jax.vmap(range_of)(qvalues, visited)


def _plant(root: mctx.RootFnOutput, size: int) -> _Nodes:
    """Returns a tree of the root with capacity for `size` nodes."""
    value = jnp.asarray(root.value)
    batch_size, num_actions = root.prior_logits.shape

    def first(x: Array) -> Array:
        return jnp.zeros((batch_size, size, *x.shape[1:]), x.dtype).at[:, 0].set(x)

    nothing = jnp.zeros_like(value)
    links = jnp.full((batch_size, size, 3), _NONE, jnp.int32)
    return _Nodes(
        numbers=first(jnp.stack([nothing + 1, value, value, nothing, nothing], axis=-1)),
        prior_logits=first(jnp.asarray(root.prior_logits)),
        children=jnp.full((batch_size, size, num_actions), _NONE, jnp.int32),
        links=links.at[..., _LEVEL].set(0),
        embeddings=jax.tree.map(first, root.embedding),
        player=first(root.player) if isinstance(root, PlayersRoot) else (),
    )


def _view(nodes: _Nodes, node: Array, invalid_actions: PerAction, extra_data: Any) -> mctx.Tree:
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
        parents=own.links[..., _PARENT],
        action_from_parent=own.links[..., _ACTION],
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
        going = walk.child != _NONE
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
            child=jnp.where(going, child, _NONE),
            lengths=walk.lengths + going,
            path=path,
        )

    def is_going(walk: _Walk) -> Array:
        return jnp.any(walk.child != _NONE) & (walk.depth < depth_limit)

    node = jnp.zeros(batch_size, jnp.int32)
    keys, action, child = select(root_action_selection_fn, keys, node)
    path = jnp.full((depth_limit + 1, batch_size), _NONE, jnp.int32).at[0].set(0)
    lengths = jnp.ones(batch_size, jnp.int32)
    first = _Walk(jnp.int32(1), keys, node, action, child, lengths, path)
    return jax.lax.while_loop(is_going, step, first)


def _expand(
    nodes: _Nodes,
    walk: _Walk,
    leaf: Array,
    visits: chex.Numeric,
    step: mctx.RecurrentFnOutput,
    embedding: Nest,
    put: Callable[[Array, Array], Array],
) -> _Nodes:
    """Writes the model's outputs at `leaf` `[B]`; `put(array, values)` writes there."""
    value = jnp.asarray(step.value)
    visits = jnp.broadcast_to(visits, value.shape)
    discount = jnp.broadcast_to(_expand_to(value.ndim, step.discount), value.shape)
    numbers = jnp.stack([visits, value, value, step.reward, discount], axis=-1)
    links = jnp.stack([walk.node, walk.action, walk.lengths], axis=-1)
    rows = jnp.arange(leaf.shape[0])
    return _Nodes(
        numbers=put(nodes.numbers, numbers),
        prior_logits=put(nodes.prior_logits, step.prior_logits),
        children=nodes.children.at[rows, walk.node, walk.action].set(leaf),
        links=put(nodes.links, links),
        embeddings=jax.tree.map(put, nodes.embeddings, embedding),
        player=put(nodes.player, step.player) if isinstance(step, PlayersOutput) else (),
    )


def _back_up(nodes: _Nodes, walk: _Walk, leaf: Array, leaf_values: Array) -> _Nodes:
    """Adds the returns from the leaf to the nodes on the path."""
    returns = jnp.zeros((*walk.path.shape, *leaf_values.shape[1:]), nodes.numbers.dtype)

    def step(carry):
        depth, child, value, returns = carry
        parent = walk.path[depth - 1]
        on_path = parent != _NONE
        numbers = _take(nodes.numbers, child)
        backed_up = numbers[..., _REWARD] + numbers[..., _DISCOUNT] * value
        value = jnp.where(_expand_to(value.ndim, on_path), backed_up, value)
        returns = jax.lax.dynamic_update_index_in_dim(returns, value, depth - 1, 0)
        return depth - 1, jnp.where(on_path, parent, child), value, returns

    carry = (walk.depth, leaf, leaf_values, returns)
    *_, returns = jax.lax.while_loop(lambda carry: carry[0] > 0, step, carry)
    columns = jnp.arange(leaf.shape[0])[:, None]
    levels = nodes.links[..., _LEVEL]
    index = jnp.arange(levels.shape[1])
    on_path = (walk.path[levels, columns] == index) & (index != leaf[:, None])
    visits = nodes.numbers[..., _VISITS]
    value = nodes.numbers[..., _VALUE] * visits + returns[levels, columns]
    updated = jnp.stack([visits + 1.0, value / (visits + 1.0)], axis=-1)
    updated = jnp.concatenate([updated, nodes.numbers[..., _RAW_VALUE:]], axis=-1)
    on_path = _expand_to(updated.ndim, on_path)
    return nodes._replace(numbers=jnp.where(on_path, updated, nodes.numbers))


def _to_mctx(nodes: _Nodes, invalid_actions: PerAction, extra_data: Any) -> mctx.Tree:
    numbers, theirs = nodes.numbers, jax.vmap(_numbers_of)(nodes.numbers, nodes.children)
    has_players = bool(jax.tree.leaves(nodes.player))
    if has_players:
        of_player = jax.vmap(jax.vmap(lambda vectors, player: vectors[..., player, :]))
        numbers, theirs = of_player(numbers, nodes.player), of_player(theirs, nodes.player)
    fields = dict(
        **_split_numbers(numbers, theirs),
        parents=nodes.links[..., _PARENT],
        action_from_parent=nodes.links[..., _ACTION],
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
        value_vectors=nodes.numbers[..., _VALUE],
        raw_vectors=nodes.numbers[..., _RAW_VALUE],
        reward_vectors=nodes.numbers[..., _REWARD],
    )


def _split_numbers(own: Array, theirs: Array) -> dict[str, Array]:
    """Returns the fields of mctx's tree from nodes `[..., N, 5]` and children `[..., N, A, 5]`."""
    return {
        "node_visits": own[..., _VISITS].astype(jnp.int32),
        "raw_values": own[..., _RAW_VALUE],
        "node_values": own[..., _VALUE],
        "children_visits": theirs[..., _VISITS].astype(jnp.int32),
        "children_rewards": theirs[..., _REWARD],
        "children_discounts": theirs[..., _DISCOUNT],
        "children_values": theirs[..., _VALUE],
    }


def _numbers_of(numbers: Array, nodes: Array) -> Array:
    """Rows of `numbers` `[N, ..., 5]`; zeros for `_NONE`."""
    rows = numbers[nodes]
    return jnp.where(_expand_to(rows.ndim, nodes != _NONE), rows, 0.0)


def _expand_to(rank: int, array: Array) -> jax.Array:
    """Returns an array with further axes of length 1 behind its own, `rank` in all."""
    return jnp.expand_dims(array, tuple(range(jnp.ndim(array), rank)))


def _take(array: Array, index: Array) -> Array:
    """`array[b, index[b]]` for each `b`."""
    return array[jnp.arange(index.shape[0]), index]


def _put(index: Array) -> Callable[[Array, Array], Array]:
    """Returns a function that writes `values[b]` to `array[b, index[b]]`."""
    return lambda array, values: array.at[jnp.arange(index.shape[0]), index].set(values)


def _put_column(index: Array, array: Array, values: Array) -> Array:
    """Writes `values` to `array[:, index]`."""
    return jax.lax.dynamic_update_index_in_dim(array, values, index, 1)
