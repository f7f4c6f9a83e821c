"""Agent whose decisions are inspected: action, value, policy and search tree."""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import chex
import jax
import numpy as np

from mukoe.agents.builder import ActorLearnerBuilder
from mukoe.agents.extensions import Inspectable
from mukoe.search.inspection import Inspector
from mukoe.search.players import own_value
from mukoe.types import Array, EnvironmentSpec, Nest, Policy, PolicyParams, SearchStatistics
from mukoe.viewing.numbers import format_fixed
from mukoe.viewing.search_tree import SearchTree, from_mctx


class Decision(NamedTuple):
    """Decision of an agent at an observation.

    action: selected action, an integer or continuous `[D]`.
    value: value of the observation for the player to move; None if the agent has no value.
    policy: `[A]` policy, that of the search if there is one, over its candidates if it has some;
        None if it is not available.
    tree: search tree; None for an agent without search.
    line_limit: number of actions of the expected line that the rules allow; None if unknown.
    """

    action: Array
    value: float | None
    policy: np.ndarray | None
    tree: SearchTree | None
    line_limit: int | None = None

    def format_line(self, names: Sequence[str], limit: int = 12) -> str:
        """Returns the names of the first `limit` actions of the expected line."""
        rest = ["..."] * (len(self.line) > limit)
        return " ".join([*(format_action(action, names) for action in self.line[:limit]), *rest])

    @property
    def qvalues(self) -> np.ndarray:
        """Q-values `[A]` of the search; NaN where an action has none.

        An unvisited action of positive policy has the completed value that the policy was made
        with, see `SearchTree.completed_qvalues`.
        """
        assert self.tree is not None, "a decision without a search has no Q-values"
        visited = self.tree.child_visits[0] > 0
        known = visited if self.policy is None else visited | (self.policy > 0)
        return np.where(known, self.tree.completed_qvalues, np.nan)

    @property
    def line(self) -> Sequence[Array]:
        """Principal variation of the search, at most `line_limit` actions.

        Without search it is the selected action.
        """
        if self.tree is None:
            return [self.action]
        return self.tree.principal_variation(self.chosen_index)[: self.line_limit]

    @property
    def chosen_index(self) -> int:
        """Index of the action in policy and tree."""
        return int(self.action) if self.tree is None else self.tree.root_index(self.action)


def format_action(action: Array, names: Sequence[str]) -> str:
    """Returns the name of a discrete action or the numbers of a continuous action."""
    if isinstance(action, np.ndarray):
        return "[" + " ".join(format_fixed(x, 2) for x in action) + "]"
    return names[action]


def edge_name(tree: SearchTree | None, node: int, index: int, names: Sequence[str]) -> str:
    """Returns the name of the action of an index at a node of a tree, if there is one."""
    action = index if tree is None else tree.action_at(node, index)
    return format_action(action, names)


def add_batch_axis(action: Array) -> np.ndarray:
    """Returns an action with a batch axis: `[1]` int32 or continuous `[1, D]`."""
    return action[None] if isinstance(action, np.ndarray) else np.array([action], np.int32)


class InspectedAgent:
    """Evaluation policy of an agent in one environment, with its search tree if it has one.

    An episode calls `start`, then alternately `decide` and `update_state`.
    """

    def __init__(
        self, builder: ActorLearnerBuilder, environment_spec: EnvironmentSpec, params: PolicyParams
    ):
        """Builds the policy.

        Args:
          builder: builder of the agent.
          environment_spec: specs of one environment.
          params: policy parameters.

        Raises:
          UserError: the agent does not support the environment.
        """
        networks = builder.make_networks(environment_spec)
        inspector = None
        if isinstance(builder, Inspectable):
            inspector = builder.make_inspector(networks, environment_spec)
        self._policy = (
            _DirectPolicy(builder.make_policy(networks, environment_spec, evaluation=True))
            if inspector is None
            else _SearchPolicy(inspector)
        )
        self._params = jax.device_put(params)
        self._key = jax.random.PRNGKey(0)
        self._steps = 0
        self.searches = inspector is not None
        self.start()

    def start(self, seed: int | None = None) -> None:
        """Resets the policy state, and the random key if `seed` is given."""
        if seed is not None:
            self._key, self._steps = jax.random.PRNGKey(seed), 0
        self._state = self._policy.initial_state(1)
        # Policy state that `decide` returned, from which `update_state` follows.
        self._own_next = self._state

    def set_params(self, params: PolicyParams) -> None:
        """Replaces the policy parameters; the compiled functions are kept."""
        self._params = jax.device_put(params)

    def fresh_copy(self) -> "InspectedAgent":
        """Returns an agent with a separate policy state that shares the compiled functions."""
        agent = copy.copy(self)
        agent.start()
        return agent

    def decide(self, observation: Nest) -> Decision:
        """Returns the decision at an observation `[1, ...]`."""
        key = jax.random.fold_in(self._key, self._steps)
        self._steps += 1
        decision, self._own_next = self._policy.decide(self._params, key, observation, self._state)
        return decision

    def update_state(self, observation: Nest, action: Array) -> None:
        """Updates the policy state after the action that was applied, by any player."""
        self._state = self._policy.update_state(observation, add_batch_axis(action), self._own_next)
        self._own_next = self._state


class _SearchPolicy:
    """Policy with a search, whose tree is inspected."""

    def __init__(self, inspector: Inspector):
        self.initial_state = inspector.initial_state
        self._inspect = jax.jit(inspector.inspect)
        self._update_state = jax.jit(inspector.update_state)

    def decide(
        self, params: PolicyParams, key: chex.PRNGKey, observation: Nest, state: Nest
    ) -> tuple[Decision, Nest]:
        output, tree, state = self._inspect(params, key, observation, state)
        output, tree = jax.device_get((output, tree))
        action = output.action[0]
        own = int(action) if action.ndim == 0 else action
        value = float(own_value(output.search_value, observation)[0])
        return Decision(own, value, output.search_policy[0], from_mctx(tree)), state

    def update_state(self, observation: Nest, actions: np.ndarray, own_next: Nest) -> Nest:
        return self._update_state(observation, actions, own_next)


class _DirectPolicy:
    """Policy without search; its state follows its own actions only."""

    def __init__(self, policy: Policy):
        self.initial_state = policy.initial_state
        self._apply = jax.jit(policy.apply)

    def decide(
        self, params: PolicyParams, key: chex.PRNGKey, observation: Nest, state: Nest
    ) -> tuple[Decision, Nest]:
        action, extras, own_next = self._apply(params, key, observation, state)
        searched = SearchStatistics.from_extras(extras)
        value = extras.get("value") if searched.search_value is None else searched.search_value
        if value is not None:
            value = own_value(value, observation)
        policy = None
        # Without a tree the actions of the candidates are not known to a table.
        if searched.search_policy is not None and searched.search_candidates is None:
            policy = np.asarray(searched.search_policy[0])
        own = int(action[0]) if action.ndim == 1 else np.asarray(action[0])
        return Decision(own, None if value is None else float(value[0]), policy, None), own_next

    def update_state(self, observation: Nest, actions: np.ndarray, own_next: Nest) -> Nest:
        del observation, actions
        return own_next
