"""Who runs the policy for an actor: its own process, or (see `inference`) a server."""

from collections.abc import Callable, Mapping
from typing import Protocol

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mukoe.nests import tree_where
from mukoe.types import Array, Nest, Policy, PolicyParams

Actions = tuple[np.ndarray, Mapping[str, np.ndarray]]
"""Actions `[B]` int32 and extras `[B, ...]`, as NumPy arrays."""


class ParameterSource(Protocol):
    """Where a runner finds the parameters; a `VariableClient`, as a rule."""

    @property
    def params(self) -> PolicyParams:
        """The parameters for the next actions."""

    def update(self, wait: bool = False) -> None:
        """Gets newer ones, where it is time."""


class PolicyRunner(Protocol):
    """Chooses actions for `B` environments and remembers the policy's state."""

    def submit(self, observation: Nest, is_first: np.ndarray) -> Callable[[], Actions]:
        """Starts to choose actions and returns at once what waits for them.

        The result is called exactly once, before the next `submit`; its wait has an end.

        Args:
          observation: `[B, ...]`; unchanged until the actions are there.
          is_first: `[B]` bool, where an episode starts.
        """

    def update(self, wait: bool = False) -> None:
        """Gets newer parameters, where it is time."""

    @property
    def learner_steps(self) -> int:
        """The updates that made the parameters of the last actions."""


def jit_with_memory(function: Callable, name: str) -> Callable:
    """Jits a function that returns its argument `name` anew, without keeping two of it.

    On the CPU it does keep two: a call with donated arguments would return only when it has
    been computed, instead of at once.
    """
    donated = () if jax.default_backend() == "cpu" else (name,)
    return jax.jit(function, donate_argnames=donated)


def make_act(policy: Policy) -> Callable:
    """The policy with its bookkeeping, ready to be jitted.

    Returns a function `(params, key, step, observation, is_first, state) ->
    (action, extras, state)` of arrays `[B, ...]`; the key of a step is `fold_in(key, step)`.
    """

    def act(
        params: PolicyParams,
        key: chex.PRNGKey,
        step: Array,
        observation: Nest,
        is_first: Array,
        state: Nest,
    ) -> tuple[Array, Mapping[str, Array], Nest]:
        initial = policy.initial_state(is_first.shape[0])
        state = tree_where(is_first, initial, state)
        return policy.apply(params, jax.random.fold_in(key, step), observation, state)

    return act


class LocalRunner:
    """Runs the policy in the actor's own process, on JAX's default device."""

    def __init__(
        self,
        policy: Policy,
        variables: ParameterSource,
        random_key: chex.PRNGKey,
        num_envs: int,
        act: Callable | None = None,
    ):
        """Runs `policy`.

        Args:
          policy: that acts.
          variables: where the parameters come from.
          random_key: of the actions.
          num_envs: environments of a call.
          act: the policy as `make_act` makes it, jitted once for several runners.
        """
        self._variables = variables
        self._key = random_key
        self._steps = 0
        self._state = policy.initial_state(num_envs)
        self._act = act or jit_with_memory(make_act(policy), "state")
        self._learner_steps = 0
        self._on_device: tuple[PolicyParams, PolicyParams] | None = None

    def submit(self, observation: Nest, is_first: np.ndarray) -> Callable[[], Actions]:
        params = self._variables.params
        if self._on_device is None or self._on_device[0] is not params:
            self._on_device = (params, jax.device_put(params))
            self._learner_steps = int(params.learner_steps)
        action, extras, self._state = self._act(
            self._on_device[1], self._key, self._steps, observation, is_first, self._state
        )
        self._steps += 1
        return lambda: (np.asarray(action), jax.tree.map(np.asarray, dict(extras)))

    def update(self, wait: bool = False) -> None:
        self._variables.update(wait)

    @property
    def learner_steps(self) -> int:
        return self._learner_steps

    def state(self) -> dict[str, np.ndarray]:
        """Returns what the next actions depend on, beside the parameters and the seed."""
        memory = {f"memory/{i}": np.asarray(a) for i, a in enumerate(jax.tree.leaves(self._state))}
        return {"steps": np.array(self._steps, np.int64), **memory}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes back to a `state`."""
        leaves, structure = jax.tree.flatten(self._state)
        memory = [jnp.asarray(state[f"memory/{i}"]) for i in range(len(leaves))]
        self._state = structure.unflatten(memory)
        self._steps = int(state["steps"])
