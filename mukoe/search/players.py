"""Trees of games with three and more players: max^n (Luckhardt & Irani, AAAI 1986).

Values and rewards are vectors with a component for each of `P` seats. The player to move at a
node selects by their own component, and the backup adds whole vectors:

    node          s_0             s_1             s_2
    player        0               1               2
    selection     Q(s_0, a)[0]    Q(s_1, a)[1]    Q(s_2, a)[2]
    backup        G_0 = r_1 + γ_1 G_1             G_1 = r_2 + γ_2 G_2

The discount is that of the step alone: no component changes its sign.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import mctx
import numpy as np

from mukoe.search.q_normalization import SearchExtraData
from mukoe.types import Array, MaskedObservation, Nest, PerEntry


class Turn(NamedTuple):
    """The part of an observation that a search of `P` players needs.

    player: `[B]` int32, seat of the player to move.
    active: `[B, P]` bool, False for players who are out of the game.
    """

    player: Array
    active: Array


@chex.dataclass(frozen=True)
class PlayersRoot(mctx.RootFnOutput):
    """Root of a game of `P` players.

    prior_logits: `[B, A]`.
    value: `[B, P]`.
    embedding: `[B, ...]`.
    player: `[B]` int32, seat of the player to move.
    """

    player: Array


@chex.dataclass(frozen=True)
class PlayersOutput(mctx.RecurrentFnOutput):
    """Model step of a game of `P` players.

    reward: `[B, P]` of the action.
    discount: `[B]`, 0 where the game ends.
    prior_logits: `[B, A]`.
    value: `[B, P]` of the next state.
    player: `[B]` int32, seat of the player who moves next.
    """

    player: Array


@chex.dataclass(frozen=True)
class PlayersTree(mctx.Tree):
    """Tree whose numbers at a node are those of the player to move there.

    player: `[B, N]` int32, seat of the player to move.
    value_vectors: `[B, N, P]` mean values.
    raw_vectors: `[B, N, P]` values of the network.
    reward_vectors: `[B, N, P]` rewards of the edges from the parents.
    """

    player: Array
    value_vectors: Array
    raw_vectors: Array
    reward_vectors: Array

    def seen_by(self, player: chex.Numeric) -> "PlayersTree":
        """Returns the tree with the numbers of one player at all nodes.

        Args:
          player: seat, one or `[B]`.
        """
        batch_size = self.value_vectors.shape[0]
        player = jnp.broadcast_to(jnp.asarray(player), batch_size)

        def own(vectors: Array) -> jax.Array:
            return jax.vmap(lambda entry, seat: entry[:, seat])(vectors, player)

        def of_children(numbers: Array) -> jax.Array:
            index = jnp.asarray(self.children_index)
            at = jax.vmap(lambda entry, children: entry[children])(numbers, index)
            return jnp.where(index == self.UNVISITED, 0.0, at)

        extra_data = self.extra_data
        if isinstance(extra_data, SearchExtraData):
            extra_data = dataclasses.replace(extra_data, q_range=None)
        return dataclasses.replace(
            self,
            node_values=own(self.value_vectors),
            raw_values=own(self.raw_vectors),
            children_values=of_children(own(self.value_vectors)),
            children_rewards=of_children(own(self.reward_vectors)),
            extra_data=extra_data,
        )


def turn_of(observation: Nest) -> Turn | None:
    """Returns the turn of observations `[B, ...]`; None in games of one player or two."""
    if not isinstance(observation, MaskedObservation) or isinstance(observation.player, tuple):
        return None
    return Turn(observation.player, observation.active)


def own_value(values: Array, observation: Nest) -> PerEntry:
    """Returns the values `[B]` of the players to move, of values `[B]` or `[B, P]`."""
    turn = turn_of(observation)
    if turn is None or np.ndim(values) == 1:
        return values
    return np.take_along_axis(np.asarray(values), np.asarray(turn.player)[:, None], axis=1)[:, 0]


def players_root(root: mctx.RootFnOutput, turn: Turn) -> PlayersRoot:
    """Returns the root of a game of `P` players; those who are out have the value 0.

    Args:
      root: evaluated root with values `[B, P]`.
      turn: player to move, and players in the game.
    """
    return PlayersRoot(
        prior_logits=root.prior_logits,
        value=root.value * turn.active,
        embedding=root.embedding,
        player=turn.player,
    )


def seen_from_root(tree: mctx.Tree) -> mctx.Tree:
    """Returns the tree with the numbers of the player at the root; other trees as they are."""
    if not isinstance(tree, PlayersTree):
        return tree
    return tree.seen_by(tree.player[:, tree.ROOT_INDEX])


def value_of_each_player(
    tree: mctx.Tree, value_of: Callable[[mctx.Tree], PerEntry]
) -> PerEntry | Array:
    """Returns the values `[B]` of a tree, or `[B, P]` with several players.

    Args:
      tree: finished tree, batched over `B`.
      value_of: function from the tree of one player to the values `[B]`.
    """
    if not isinstance(tree, PlayersTree):
        return value_of(tree)
    seats = range(tree.value_vectors.shape[-1])
    return jnp.stack([value_of(tree.seen_by(seat)) for seat in seats], axis=-1)
