"""Policy runners: in the actor's process, or on a server (see `inference`)."""

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
    """Holder of a runner's parameters, such as a `VariableClient`."""

    @property
    def params(self) -> PolicyParams:
        """Parameters for the next actions."""

    def update(self, wait: bool = False) -> None:
        """Fetches newer parameters if a period is over; with `wait` fetches at once."""


class PolicyRunner(Protocol):
    """Chooses actions for `B` environments and holds the policy's state."""

    def submit(self, observation: Nest, is_first: np.ndarray) -> Callable[[], Actions]:
        """Starts to choose actions and returns at once.

        Args:
          observation: observations `[B, ...]`; not modified by the caller until the actions
            have been returned.
          is_first: `[B]` bool, True at the first step of an episode.

        Returns:
          Function that waits for the actions; called exactly once, before the next `submit`.
        """

    def update(self, wait: bool = False) -> None:
        """Fetches newer parameters if a period is over; with `wait` fetches at once."""

    @property
    def learner_steps(self) -> int:
        """Learner steps of the parameters that chose the last actions."""


def jit_with_memory(function: Callable, name: str) -> Callable:
    """Jits a function that updates its argument `name`, whose buffers are donated.

    Nothing is donated on the CPU, where a call with donated arguments blocks until it is computed.
    """
    donated = () if jax.default_backend() == "cpu" else (name,)
    return jax.jit(function, donate_argnames=donated)


def make_act(policy: Policy) -> Callable:
    """Returns the policy with the reset of its state and the key of each step, not yet jitted.

    Args:
      policy: policy to run.

    Returns:
      Function `(params, key, step, observation, is_first, state) -> (action, extras, state)` of
      arrays `[B, ...]`; the key of a step is `fold_in(key, step)`.
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
    """Runs the policy in the actor's process, on JAX's default device."""

    def __init__(
        self,
        policy: Policy,
        variables: ParameterSource,
        random_key: chex.PRNGKey,
        num_envs: int,
        act: Callable | None = None,
    ):
        """Builds the runner.

        Args:
          policy: policy to run.
          variables: holder of the parameters.
          random_key: key of the actions.
          num_envs: number of environments `B`.
          act: jitted result of `make_act`, shared by several runners; None to jit one here.
        """
        self._variables = variables
        self._key = random_key
        self._steps = 0
        self._state = policy.initial_state(num_envs)
        self._act = act or jit_with_memory(make_act(policy), "state")
        self._sharding: jax.sharding.Sharding | None = None
        self._on_device: tuple[PolicyParams, PolicyParams] | None = None

    def submit(self, observation: Nest, is_first: np.ndarray) -> Callable[[], Actions]:
        params = self._variables.params
        if self._on_device is None or self._on_device[0] is not params:
            is_on_device = isinstance(jax.tree.leaves(params)[0], jax.Array)
            placed = params if is_on_device else jax.device_put(params)
            self._on_device = (params, placed)
            self._place_state(jax.tree.leaves(placed)[0].sharding)
        action, extras, self._state = self._act(
            self._on_device[1], self._key, self._steps, observation, is_first, self._state
        )
        self._steps += 1
        return lambda: (np.asarray(action), jax.tree.map(np.asarray, dict(extras)))

    def update(self, wait: bool = False) -> None:
        self._variables.update(wait)

    @property
    def learner_steps(self) -> int:
        return 0 if self._on_device is None else int(self._on_device[0].learner_steps)

    def state(self) -> dict[str, np.ndarray]:
        """Returns the step count and the policy's state."""
        memory = {f"memory/{i}": np.asarray(a) for i, a in enumerate(jax.tree.leaves(self._state))}
        return {"steps": np.array(self._steps, np.int64), **memory}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Restores a `state`."""
        leaves, structure = jax.tree.flatten(self._state)
        memory = [jnp.asarray(state[f"memory/{i}"]) for i in range(len(leaves))]
        self._state = structure.unflatten(memory)
        self._steps = int(state["steps"])
        self._on_device = self._sharding = None

    def _place_state(self, sharding: jax.sharding.Sharding) -> None:
        """Moves the policy's state to the parameters, so that the policy is compiled once."""
        if sharding != self._sharding:
            self._state = jax.device_put(self._state, sharding)
            self._sharding = sharding
