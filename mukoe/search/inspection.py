"""Inspection of an agent's searches."""

from collections.abc import Callable

import chex
import mctx

from mukoe.search.base import SearchOutput
from mukoe.types import Array, Nest, PolicyParams


@chex.dataclass(frozen=True, mappable_dataclass=False)
class Inspector:
    """Search of a policy, with its tree, and the update of its memory.

    To act, call `inspect`, then `update_state` with the action that was taken: the search's own
    or, in a game, that of the opponent. Batched over `B` environments as `Policy` is.

    inspect: `(params, key, observation [B, ...], state [B, ...]) -> (output, tree, state)`, where
        the state has seen the observation.
    update_state: `(observation [B, ...], action [B], state [B, ...]) -> state`, given the state of
        `inspect`.
    initial_state: the memory `[B, ...]` at the start of an episode, given `B`.
    """

    inspect: Callable[
        [PolicyParams, chex.PRNGKey, Nest, Nest], tuple[SearchOutput, mctx.Tree, Nest]
    ]
    update_state: Callable[[Nest, Array, Nest], Nest]
    initial_state: Callable[[int], Nest]
