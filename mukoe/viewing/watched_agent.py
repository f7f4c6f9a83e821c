"""An agent that says what it thinks at each step."""

import copy
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import chex
import jax
import numpy as np

from mukoe.agents.builder import ActorLearnerBuilder
from mukoe.search.inspection import Inspector
from mukoe.types import Array, EnvironmentSpec, Nest, Policy, PolicyParams
from mukoe.viewing.search_tree import SearchTree, from_mctx


class Decision(NamedTuple):
    """What an agent thinks of an observation.

    action: what it would do; continuous, `[D]`.
    value: of the observation, for the player to move; None where the agent has none.
    policy: `[A]` the policy that it found; None where it does not say.
    tree: its search; None for an agent without one.
    """

    action: Array
    value: float | None
    policy: np.ndarray | None
    tree: SearchTree | None

    def write_line(self, names: Sequence[str], limit: int = 12) -> str:
        """Returns the names of the first `limit` actions that it expects."""
        rest = ["..."] * (len(self.line) > limit)
        return " ".join([*(write_action(action, names) for action in self.line[:limit]), *rest])

    @property
    def line(self) -> Sequence[Array]:
        """The actions that it expects, its own first."""
        if self.tree is None:
            return [self.action]
        return self.tree.principal_variation(self.action)


def write_action(action: Array, names: Sequence[str]) -> str:
    """Returns the name of an action; of a continuous one its numbers."""
    if isinstance(action, np.ndarray):
        return "[" + " ".join(f"{x:.2f}" for x in action) + "]"
    return names[action]


def batch_of_one(action: Array) -> np.ndarray:
    """Returns the action of a vector of one: int32 `[1]` or continuous `[1, D]`."""
    return action[None] if isinstance(action, np.ndarray) else np.array([action], np.int32)


class WatchedAgent:
    """The evaluation policy of an agent in one environment, with its search where it has one.

    The calls of an episode are `start`, then `decide` and `update_state` in turn.
    """

    def __init__(
        self, builder: ActorLearnerBuilder, environment_spec: EnvironmentSpec, params: PolicyParams
    ):
        """Makes the policy.

        Args:
          builder: of the agent.
          environment_spec: of one environment.
          params: that it acts with.

        Raises:
          UserError: the agent does not fit the environment.
        """
        networks = builder.make_networks(environment_spec)
        inspector = builder.make_inspector(networks, environment_spec)
        self._look = (
            _PolicyAlone(builder.make_policy(networks, environment_spec, evaluation=True))
            if inspector is None
            else _PolicyWithSearch(inspector)
        )
        self._params = jax.device_put(params)
        self._key = jax.random.PRNGKey(0)
        self._steps = 0
        self.searches = inspector is not None
        self.start()

    def start(self, seed: int | None = None) -> None:
        """Forgets the episode before; `seed` draws the actions of a policy that draws them."""
        if seed is not None:
            self._key, self._steps = jax.random.PRNGKey(seed), 0
        self._memory = self._look.initial_state(1)
        # The memory after the agent's own action.
        self._own_next = self._memory

    def another(self) -> "WatchedAgent":
        """Returns the same agent for an episode of its own, without compiling anew."""
        agent = copy.copy(self)
        agent.start()
        return agent

    def decide(self, observation: Nest) -> Decision:
        """Thinks about an observation `[1, ...]` of the vector's only environment."""
        key = jax.random.fold_in(self._key, self._steps)
        self._steps += 1
        decision, self._own_next = self._look.decide(self._params, key, observation, self._memory)
        return decision

    def update_state(self, observation: Nest, action: Array) -> None:
        """Takes note of what was done, by whomever, after `decide`."""
        self._memory = self._look.update_state(
            observation, batch_of_one(action), self._memory, self._own_next
        )


class _PolicyWithSearch:
    def __init__(self, inspector: Inspector):
        self.initial_state = inspector.initial_state
        self._inspect = jax.jit(inspector.inspect)
        self._remember = jax.jit(inspector.update_state)

    def decide(
        self, params: PolicyParams, key: chex.PRNGKey, observation: Nest, memory: Nest
    ) -> tuple[Decision, Nest]:
        output, tree = jax.device_get(self._inspect(params, key, observation, memory))
        action, value = int(output.action[0]), float(output.search_value[0])
        return Decision(action, value, output.search_policy[0], from_mctx(tree)), memory

    def update_state(
        self, observation: Nest, actions: np.ndarray, memory: Nest, own_next: Nest
    ) -> Nest:
        del own_next
        return self._remember(observation, actions, memory)


class _PolicyAlone:
    """A policy without search, which remembers its own actions only."""

    def __init__(self, policy: Policy):
        self.initial_state = policy.initial_state
        self._apply = jax.jit(policy.apply)

    def decide(
        self, params: PolicyParams, key: chex.PRNGKey, observation: Nest, memory: Nest
    ) -> tuple[Decision, Nest]:
        action, extras, own_next = self._apply(params, key, observation, memory)
        value = _first_of(extras, "search_value", "value")
        policy = _first_of(extras, "search_policy")
        own = int(action[0]) if action.ndim == 1 else np.asarray(action[0])
        return Decision(own, None if value is None else float(value), policy, None), own_next

    def update_state(
        self, observation: Nest, actions: np.ndarray, memory: Nest, own_next: Nest
    ) -> Nest:
        del observation, actions, memory
        return own_next


def _first_of(extras: Mapping[str, Array], *names: str) -> np.ndarray | None:
    """The first of the named extras that there is, of the only environment."""
    return next((np.asarray(extras[name])[0] for name in names if name in extras), None)
