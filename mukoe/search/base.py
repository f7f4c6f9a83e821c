"""Core types of the search."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

import chex
import jax
import mctx
from dm_env import specs

from mukoe.search import tree_search
from mukoe.search.players import PlayersRoot, Turn, players_root
from mukoe.shapes import check_rank, check_shape
from mukoe.types import Array, Nest, Params, PerAction, PerEntry, SearchStatistics

if TYPE_CHECKING:
    from mukoe.networks.memory import InputMemory
    from mukoe.search.candidates import CandidateSampler
    from mukoe.search.config import SearchConfig


class SearchModel(NamedTuple):
    """Model that the search expands, batched over `B`.

    root: `(params, observation [B, ...]) -> mctx.RootFnOutput`. In games of three and more players
        its output and that of `recurrent` have vectors, see `mukoe.search.players`.
    recurrent: `(params, key, action [B], embedding [B, ...]) ->
        (mctx.RecurrentFnOutput, embedding)`. Called once per simulation. Its discount is
        the product of the agent's discount and the game's: 0 where the episode ends,
        negative where the turn passes to the opponent.
    search: tree search with the arguments of `mctx.search`, whose tree has one edge per action.
        `mukoe.search.stochastic` replaces it for trees with chance nodes.
    candidates: sampler of candidates, for a root whose prior logits are the outputs `[B, O]` of a
        policy head; the actions of `recurrent` are then indices of candidates, see
        `mukoe.search.candidates.with_candidates`. None for a search over `A` actions.
    memory: memory whose output is the observation of `root`; None without one.
    position: spec `[S]` of the true states that are the embeddings, for a search of the rules;
        None for learned states, which `root` makes.
    shown_tree: function from the tree of `search` to the part of it that an inspector shows.
    embed_position: function from true states `[B, S]` to the embeddings of roots.
    carried_visits: `[B, A]` visits of the root's actions before the search, where `search` starts
        from the tree of another one; None where it starts from the root alone.
    take_turn: function from an evaluated root of three and more players and the `Turn` to the root
        of the search.
    """

    root: Callable[[Params, Nest], mctx.RootFnOutput]
    recurrent: Callable[[Params, chex.PRNGKey, PerEntry, Nest], tuple[mctx.RecurrentFnOutput, Nest]]
    search: Callable[..., mctx.Tree] = tree_search.search
    candidates: "CandidateSampler | None" = None
    memory: "InputMemory | None" = None
    position: specs.Array | None = None
    shown_tree: Callable[[mctx.Tree], mctx.Tree] = lambda tree: tree
    embed_position: Callable[[Array], Nest] = lambda position: position
    carried_visits: PerAction | None = None
    take_turn: Callable[[mctx.RootFnOutput, Turn], PlayersRoot] = players_root

    def evaluate_root(
        self, params: Params, inputs: Nest, position: Array | None, turn: Turn | None = None
    ) -> mctx.RootFnOutput:
        """Evaluates roots; in a search of the rules their embedding is the true state.

        Args:
          params: network parameters.
          inputs: observation `[B, ...]` of `root`.
          position: true states `[B, S]`; None without a spec of them.
          turn: player to move; None in games of one player or two.
        """
        root = self.root(params, inputs)
        if self.position is not None:
            assert position is not None, "a search of the rules needs the true states"
            root = dataclasses.replace(root, embedding=self.embed_position(position))
        return root if turn is None else self.take_turn(root, turn)


class SearchOutput(NamedTuple):
    """Decision of a search and its training targets.

    action: `[B]` int32, selected action; with candidates `[B, ...]`.
    search_policy: `[B, A]` improved policy, the target of the policy head, with candidates
        `[B, K]`; exactly 0 on illegal actions. 'muzero': visit counts; 'gumbel': softmax of
        `logits + σ(completed Q)` (arXiv:2202.00633, equation 11).
    search_value: `[B]` root value, `[B, P]` of three and more players. 'muzero': mean over all
        visits; 'gumbel': expected Q-value of the search policy. Sequential halving spreads visits
        over all considered actions, good or bad, so that their mean would be biased.
    statistics: `[B]` float32 each: `search_entropy`, `prior_entropy`, `search_prior_kl`
        (nats), `search_depth_max`, `search_depth_mean` (edges of the tree).
    candidates: `[B, K, ...]` actions of the search policy; None for a policy over all actions.
    """

    action: PerEntry
    search_policy: PerAction
    search_value: PerEntry
    statistics: Mapping[str, PerEntry]
    candidates: Array | None = None

    @property
    def stored(self) -> SearchStatistics:
        """The part that is stored with the data."""
        return SearchStatistics(self.search_policy, self.search_value, self.candidates)


class SearchAlgorithm(Protocol):
    """Search from evaluated roots, with at least one simulation; see `mukoe.search.plan`."""

    def __call__(
        self,
        config: "SearchConfig",
        model: SearchModel,
        params: Params,
        key: chex.PRNGKey,
        root: mctx.RootFnOutput,
        legal_actions: PerAction,
        learner_steps: chex.Numeric,
        *,
        evaluation: bool,
    ) -> tuple[SearchOutput, mctx.Tree]:
        """Searches from `root`.

        Args:
          config: search settings.
          model: model to expand.
          params: network parameters, forwarded to `model.recurrent`.
          key: random key; constant in evaluation.
          root: prior logits `[B, A]`, lowest on illegal actions; value `[B]`; embedding
            `[B, ...]`.
          legal_actions: `[B, A]` bool, with at least one legal action per row.
          learner_steps: `[]` learner step of the parameters, for schedules.
          evaluation: no exploration.

        Returns:
          The output and the tree, batched over `B`.
        """
        ...


def check_root(root: mctx.RootFnOutput, legal_actions: PerAction | None) -> None:
    """Checks the shapes of root evaluations.

    Raises:
      UserError: prior logits are not `[B, A]`, the value is not `[B]`, the embedding is not
        `[B, ...]`, or legal actions are not `[B, A]`.
    """
    check_rank("the root's prior_logits [B, A]", root.prior_logits, 2)
    batch_size, num_actions = root.prior_logits.shape
    if isinstance(root, PlayersRoot):
        check_rank("the root's value [B, P]", root.value, 2)
        check_shape("the root's player [B]", root.player, (batch_size,))
    else:
        check_shape("the root's value [B]", root.value, (batch_size,))
    for leaf in jax.tree.leaves(root.embedding):
        shape = (batch_size, *leaf.shape[1:])
        check_shape("the root's embedding [B, ...]", leaf, shape)
    if legal_actions is not None:
        check_shape("legal_actions [B, A]", legal_actions, (batch_size, num_actions))
