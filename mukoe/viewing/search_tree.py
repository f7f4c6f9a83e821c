"""A search tree as NumPy arrays, and what can be read off it."""

import dataclasses

import mctx
import numpy as np


@dataclasses.dataclass(frozen=True)
class SearchTree:
    """One search, of `N` nodes with `A` actions each; node 0 is the root.

    Values are those of the player to move at the node, Q-values those of the player to move at
    its parent: they differ in sign where a discount is negative.

    visits: `[N]` int, the simulations that came through a node; 0 for an unused one.
    values: `[N]` float, what the search made of the nodes' values.
    raw_values: `[N]` float, the values that the network gave.
    parents: `[N]` int, -1 for the root and for unused nodes.
    actions: `[N]` int, what led here from the parent.
    children: `[N, A]` int, the node after an action, -1 where it was not tried.
    priors: `[N, A]` float, the policy of the network.
    child_visits: `[N, A]` int.
    rewards: `[N, A]` float, what an action brings; 0 where it was not tried.
    discounts: `[N, A]` float, with which the value after an action counts.
    qvalues: `[N, A]` float, reward plus discounted value; NaN where it was not tried.
    legal_actions: `[A]` bool, of the root.
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

    @property
    def num_simulations(self) -> int:
        """Simulations that were made."""
        return int(self.child_visits[0].sum())

    @property
    def two_players(self) -> bool:
        """Whether the turn passes between players."""
        return bool(np.any(self.discounts < 0))

    @property
    def depths(self) -> np.ndarray:
        """`[N]` int, actions from the root; 0 for unused nodes too."""
        depths = np.zeros(len(self.parents), int)
        for node in np.flatnonzero(self.parents >= 0):
            # A parent is made before its children.
            depths[node] = depths[self.parents[node]] + 1
        return depths

    def principal_nodes(self, first_action: int) -> list[int]:
        """Returns the nodes of the line that the search expects, without the root.

        After `first_action` it follows the most visited action of each node; of several, the
        one with the highest Q-value. It ends at a node without visited children.
        """
        nodes: list[int] = []
        node, action = 0, first_action
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

    def principal_variation(self, first_action: int) -> list[int]:
        """Returns the actions of that line, `first_action` included."""
        nodes = self.principal_nodes(first_action)
        return [int(self.actions[node]) for node in nodes] or [first_action]

    def most_visited(self, limit: int) -> list[int]:
        """Returns at most `limit` nodes, the root first; the parent of each is among them."""
        # A parent has at least the visits of its child and, being older, a lower index.
        order = np.lexsort((np.arange(len(self.visits)), -self.visits))
        return [int(node) for node in order[:limit] if self.visits[node] > 0]


def from_mctx(tree: mctx.Tree, index: int = 0) -> SearchTree:
    """Returns the search of one batch entry of an mctx tree."""

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
    )
