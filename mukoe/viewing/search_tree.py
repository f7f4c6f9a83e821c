"""Search trees as NumPy arrays, with depths and the principal variation."""

import dataclasses

import mctx
import numpy as np

from mukoe.types import Array


@dataclasses.dataclass(frozen=True)
class SearchTree:
    """Search tree of `N` nodes with `A` actions each; node 0 is the root.

    Values are those for the player to move at the node, Q-values those for the player to move at
    its parent: their signs differ if the discount is negative.

    visits: `[N]` int, visit counts of the nodes; 0 for unused nodes.
    values: `[N]` float, values after the search.
    raw_values: `[N]` float, values of the network.
    parents: `[N]` int, indices of the parents; -1 for the root and for unused nodes.
    actions: `[N]` int, actions from the parents to the nodes.
    children: `[N, A]` int, indices of the children; -1 for unvisited actions.
    priors: `[N, A]` float, policy of the network.
    child_visits: `[N, A]` int, visit counts of the actions.
    rewards: `[N, A]` float, rewards of the actions; 0 for unvisited actions.
    discounts: `[N, A]` float, discounts of the values of the children.
    qvalues: `[N, A]` float, reward plus discounted value; NaN for unvisited actions.
    legal_actions: `[A]` bool, legal-action mask of the root.
    candidates: `[N, A, ...]` actions of the nodes; None if their indices are the actions.
    """

    visits: np.ndarray
    values: np.ndarray
    raw_values: np.ndarray
    parents: np.ndarray
    actions: np.ndarray
    children: np.ndarray
    priors: np.ndarray
    child_visits: np.ndarray
    rewards: np.ndarray
    discounts: np.ndarray
    qvalues: np.ndarray
    legal_actions: np.ndarray
    candidates: np.ndarray | None = None

    def action_at(self, node: int, index: int) -> Array:
        """Returns the action of an index at a node: the index itself, or its candidate."""
        return index if self.candidates is None else self.candidates[node, index]

    def root_index(self, action: Array) -> int:
        """Returns the index of an action at the root."""
        if self.candidates is None:
            return int(action)
        same = self.candidates[0] == action
        return int(np.argmax(same.reshape(len(same), -1).all(axis=-1)))

    @property
    def num_simulations(self) -> int:
        """Number of simulations."""
        return int(self.child_visits[0].sum())

    @property
    def two_players(self) -> bool:
        """True if two players alternate."""
        return bool(np.any(self.discounts < 0))

    @property
    def depths(self) -> np.ndarray:
        """Depths `[N]` int of the nodes; 0 for the root and for unused nodes."""
        depths = np.zeros(len(self.parents), int)
        for node in np.flatnonzero(self.parents >= 0):
            # The index of a parent is lower than those of its children.
            depths[node] = depths[self.parents[node]] + 1
        return depths

    @property
    def completed_qvalues(self) -> np.ndarray:
        """Completed Q-values `[A]` of the root: the mixed value where an action is unvisited.

        Gumbel MuZero (Danihelka et al. 2022), appendix D.
        """
        visited, qvalues = self.child_visits[0] > 0, self.qvalues[0]
        mixed = self.raw_values[0]
        if visited.any():
            weights = np.maximum(self.priors[0], np.finfo(np.float32).tiny)[visited]
            mean = np.average(qvalues[visited], weights=weights)
            mixed = (mixed + self.num_simulations * mean) / (1 + self.num_simulations)
        return np.where(visited, qvalues, mixed)

    def principal_nodes(self, first_index: int) -> list[int]:
        """Returns the nodes of the principal variation, without the root.

        After `first_index` it follows the most visited action of each node, with ties broken by
        the Q-value. It ends at a node without visited children.
        """
        nodes: list[int] = []
        node, action = 0, first_index
        while self.child_visits[node, action] > 0:
            child = int(self.children[node, action])
            if child in nodes:
                break
            nodes.append(child)
            node = child
            visits = self.child_visits[node]
            candidates = (visits == visits.max()) & (visits > 0)
            action = int(
                np.argmax(np.where(candidates, np.nan_to_num(self.qvalues[node]), -np.inf))
            )
        return nodes

    def principal_variation(self, first_index: int) -> list[Array]:
        """Returns the actions of the principal variation, including that of `first_index`."""
        nodes = self.principal_nodes(first_index)
        edges = [(int(self.parents[node]), int(self.actions[node])) for node in nodes]
        return [self.action_at(*edge) for edge in edges or [(0, first_index)]]

    def most_visited(self, limit: int) -> list[int]:
        """Returns the `limit` most visited nodes, root first; the result contains all parents."""
        # A parent has at least as many visits as its child, and a lower index.
        order = np.lexsort((np.arange(len(self.visits)), -self.visits))
        return [int(node) for node in order[:limit] if self.visits[node] > 0]


def from_mctx(tree: mctx.Tree, index: int = 0) -> SearchTree:
    """Returns the search tree of one batch entry of an mctx tree."""

    def take(array) -> np.ndarray:
        return np.asarray(array)[index]

    logits = take(tree.children_prior_logits).astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    child_visits, rewards = take(tree.children_visits), take(tree.children_rewards)
    discounts = take(tree.children_discounts)
    qvalues = rewards + discounts * take(tree.children_values)
    return SearchTree(
        visits=take(tree.node_visits),
        values=take(tree.node_values),
        raw_values=take(tree.raw_values),
        parents=take(tree.parents),
        actions=take(tree.action_from_parent),
        children=take(tree.children_index),
        priors=exponentials / exponentials.sum(axis=-1, keepdims=True),
        child_visits=child_visits,
        rewards=rewards,
        discounts=discounts,
        qvalues=np.where(child_visits > 0, qvalues, np.nan),
        legal_actions=take(tree.root_invalid_actions) == 0,
        candidates=None if isinstance(tree.embeddings, tuple) else take(tree.embeddings),
    )
