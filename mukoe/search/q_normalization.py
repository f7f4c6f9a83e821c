"""Normalisation of Q-values to [0, 1], before they are added to the prior's score.

MuZero (arXiv:1911.08265, appendix B, equation 5) rescales by the extremes of the whole tree:

    Q̄(s, a) = (Q(s, a) - min_{tree} Q) / max(max_{tree} Q - min_{tree} Q, floor)

mctx rescales by the extremes of one node instead, with a floor of 1e-8. Where all Q-values of a
node are equal up to noise, that stretches the noise to the whole interval. A higher floor, or
the range of the tree, keeps small differences small. Where the range of values is known, as in
board games, it needs no estimate.
"""

import dataclasses
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp
import mctx

from mukoe.configuration.bounds import NonNegativeFloat, PositiveFloat
from mukoe.configuration.fields import Validated
from mukoe.errors import UserError
from mukoe.search.root import unmasked
from mukoe.types import Array, PerAction


@dataclasses.dataclass(frozen=True)
class QNormalizationConfig(Validated):
    """Range by which the search normalises Q-values."""

    # 'node': the Q-values of the node, its value included (mctx). 'tree': the Q-values of all
    # visited actions in the tree (MuZero, appendix B, equation 5; EfficientZero V2). 'known':
    # `known_range`.
    scope: Literal["node", "tree", "known"] = "node"
    # The least range; smaller ones count as this one. mctx: 1e-8; EfficientZero V2: 0.01.
    floor: PositiveFloat = 1e-8
    # 'known': lowest and highest Q-value, such as (-1, 1) in board games.
    known_range: tuple[float, float] = (-1.0, 1.0)
    # 'muzero': Q-value of an unvisited action, the 'lowest' of the range (mctx) or the mean
    # value of its 'parent' (EfficientZero, but for the root).
    unvisited: Literal["lowest", "parent"] = "lowest"
    # 'gumbel': c_scale of Gumbel MuZero (section 3, equation 8). Paper: 0.1 on Atari, 1 on Go and
    # chess.
    value_scale: NonNegativeFloat = 0.1
    # 'gumbel': c_visit of the same equation. Paper: 50.
    maxvisit_init: NonNegativeFloat = 50.0

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.known_range
        if low >= high:
            raise UserError(f"known_range must ascend, unlike ({low:g}, {high:g})")


BOARD_GAMES = QNormalizationConfig(scope="known", known_range=(-1.0, 1.0), value_scale=1.0)
"""Settings of Gumbel MuZero for Go and chess, whose values are known to be in [-1, 1]."""


@chex.dataclass(frozen=True)
class SearchExtraData:
    """Data of a search by the range of the tree or in the tree of another search.

    It is the `extra_data` of the tree.

    root_gumbel: `[B, A]` Gumbel noise of the root, or None.
    carried_visits: `[B, A]` visits of the root's actions before the search, or None.
    q_range: `[B, 2]` lowest and highest Q-value of all visited actions; set where a selection
        function is shown one node instead of the tree, None elsewhere.
    """

    root_gumbel: Any = None
    carried_visits: Any = None
    q_range: Any = None


def make_extra_data(
    config: QNormalizationConfig,
    root_gumbel: PerAction | None = None,
    carried_visits: PerAction | None = None,
) -> SearchExtraData | mctx.GumbelMuZeroExtraData | None:
    """Returns the `extra_data` of a search.

    Only a `SearchExtraData` makes `tree_search.search` compute the range of the tree.

    Args:
      config: normalisation of the search.
      root_gumbel: `[B, A]` Gumbel noise of the root; None without.
      carried_visits: `[B, A]` visits of the root's actions before the search; None without.
    """
    if config.scope == "tree" or carried_visits is not None:
        return SearchExtraData(root_gumbel=root_gumbel, carried_visits=carried_visits)
    return None if root_gumbel is None else mctx.GumbelMuZeroExtraData(root_gumbel=root_gumbel)


def range_of(qvalues: Array, visited: Array) -> jax.Array:
    """Returns the extremes `[2]` of visited Q-values, `(inf, -inf)` if there are none.

    Args:
      qvalues: `[...]`.
      visited: `[...]` bool.
    """
    low = jnp.min(jnp.where(visited, qvalues, jnp.inf))
    high = jnp.max(jnp.where(visited, qvalues, -jnp.inf))
    return jnp.stack([low, high])


def tree_range(tree: mctx.Tree) -> jax.Array:
    """Returns the extremes `[2]` of the Q-values of all visited actions in an unbatched tree."""
    extra_data = tree.extra_data
    if isinstance(extra_data, SearchExtraData) and extra_data.q_range is not None:
        return extra_data.q_range
    rewards, discounts = jnp.asarray(tree.children_rewards), jnp.asarray(tree.children_discounts)
    return range_of(
        rewards + discounts * tree.children_values, jnp.asarray(tree.children_visits) > 0
    )


def normalized_qvalues(
    tree: mctx.Tree, node: chex.Numeric, config: QNormalizationConfig
) -> jax.Array:
    """Returns the Q-values `[A]` of a node in [0, 1].

    An unvisited action has 0 or the value of its parent, see `config.unvisited`; an illegal one,
    whose logit is that of `mask_logits`, has 0.

    Args:
      tree: unbatched tree.
      node: `[]` index of the node.
      config: range and floor.
    """
    qvalues, visited = tree.qvalues(node), jnp.asarray(tree.children_visits)[node] > 0
    node_value = jnp.asarray(tree.node_values)[node]
    if config.scope == "node":
        low, high = range_of(jnp.append(qvalues, node_value), jnp.append(visited, True))
    else:
        low, high = _given_range(tree, config)
    # A tree without visited actions has the range (inf, -inf), in which every value counts as 0.
    normalized = _rescale(jnp.where(visited, qvalues, node_value), (low, high), config.floor)
    if config.unvisited == "parent":
        visited |= unmasked(jnp.asarray(tree.children_prior_logits)[node])
    return jnp.where(visited, normalized, 0.0)


def scaled_completed_qvalues(
    tree: mctx.Tree, node: chex.Numeric, config: QNormalizationConfig
) -> jax.Array:
    """Returns `σ(completed Q)` `[A]` of a node (Gumbel MuZero, section 3, equation 8).

    `σ(q) = (c_visit + max_b N(b)) c_scale q̄`, with `q̄` in [0, 1]. A mixed value outside of the
    range of the tree, which holds visited actions alone, counts as the nearer end.

    Args:
      tree: unbatched tree.
      node: `[]` index of the node.
      config: range and floor.
    """
    if config.scope == "node":
        by_node = mctx.qtransform_completed_by_mix_value(
            tree,
            node,
            value_scale=config.value_scale,
            maxvisit_init=config.maxvisit_init,
            epsilon=config.floor,
        )
        return jnp.asarray(by_node)
    normalized = _rescale(completed_qvalues(tree, node), _given_range(tree, config), config.floor)
    visit_scale = config.maxvisit_init + jnp.max(jnp.asarray(tree.children_visits)[node])
    return visit_scale * config.value_scale * normalized


def completed_qvalues(tree: mctx.Tree, node: chex.Numeric) -> jax.Array:
    """Returns the Q-values `[A]` of a node, in their own units.

    The Q-value of an unvisited action is the mixed value (Gumbel MuZero, appendix D).

    Args:
      tree: unbatched tree.
      node: `[]` index of the node.
    """
    # mctx multiplies by maxvisit_init + max_b N(b): here by 1.
    qvalues = mctx.qtransform_completed_by_mix_value(
        tree,
        node,
        value_scale=1.0,
        maxvisit_init=1.0 - jnp.max(jnp.asarray(tree.children_visits)[node]),
        rescale_values=False,
    )
    return jnp.asarray(qvalues)


def _given_range(tree: mctx.Tree, config: QNormalizationConfig) -> tuple[Array, Array]:
    """Returns the lowest and highest Q-value of a scope that does not depend on the node."""
    if config.scope == "known":
        low, high = config.known_range
        return jnp.float32(low), jnp.float32(high)
    low, high = tree_range(tree)
    return low, high


def _rescale(qvalues: Array, extremes: tuple[Array, Array], floor: float) -> jax.Array:
    """Maps the range `extremes`, or `floor` if that is wider, to [0, 1]."""
    low, high = extremes
    return jnp.clip((qvalues - low) / jnp.maximum(high - low, floor), 0.0, 1.0)
