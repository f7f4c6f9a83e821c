"""Computation of a batch, as pure functions."""

from collections.abc import Callable, Sequence

import chex
import jax
import numpy as np
from dm_env import specs

from mukoe.acting.runners import make_act
from mukoe.nests import tree_where
from mukoe.types import Array, Nest, Policy, PolicyParams, SplitPolicy


class Served:
    """A policy, or the first half of one, over memory slots.

    serve: `(params, key, step, leaves, is_first, slots [N], memory) -> (result, memory)`,
        ready to be jitted; `leaves` are the flat inputs `[N, ...]`.
    initial_memory: function that returns the blank memory of a number of slots.
    input_specs: specs of the flat inputs of one environment.
    """

    def __init__(self, policy: Policy, observation_spec: Nest, split: bool):
        """Makes the functions.

        Args:
          policy: batched policy.
          observation_spec: observation spec of one environment.
          split: True to serve search roots instead of actions.
        """
        self._policy = policy
        self._observation_spec = observation_spec
        if split:
            assert policy.split is not None, "this policy has no parts"
            self._inputs: Nest = (observation_spec, policy.split.action_spec)
            self._step = _make_represent(policy, policy.split)
        else:
            self._inputs = (observation_spec,)
            self._step = _make_act(policy)
        self._split = split

    @property
    def input_specs(self) -> Sequence[specs.Array]:
        """See the class."""
        return jax.tree.leaves(self._inputs)

    def initial_memory(self, num_slots: int) -> Nest:
        """See the class."""
        state = self._policy.initial_state(num_slots)
        if not self._split or not jax.tree.leaves(state):
            return state
        observation = jax.tree.map(
            lambda spec: np.zeros((num_slots, *spec.shape), spec.dtype), self._observation_spec
        )
        return state, observation

    def serve(
        self,
        params: PolicyParams,
        key: chex.PRNGKey,
        step: Array,
        leaves: Sequence[Array],
        is_first: Array,
        slots: Array,
        memory: Nest,
    ) -> tuple[Nest, Nest]:
        """See the class."""
        inputs = jax.tree.unflatten(jax.tree.structure(self._inputs), leaves)
        state = jax.tree.map(lambda whole: whole[slots], memory)
        result, state = self._step(params, key, step, *inputs, is_first, state)
        memory = jax.tree.map(lambda whole, part: whole.at[slots].set(part), memory, state)
        return result, memory


def _make_act(policy: Policy) -> Callable:
    """Returns the whole policy with its state, and actions and extras as one result."""
    act = make_act(policy)

    def step(*inputs: Nest) -> tuple[Nest, Nest]:
        action, extras, state = act(*inputs)
        return (action, extras), state

    return step


def _make_represent(policy: Policy, split: SplitPolicy) -> Callable:
    """Returns the first half of a policy with its state.

    Its memory is the policy's state at the last step and the observation of that step; the
    action of that step follows with the next request.
    """

    def represent(
        params: PolicyParams,
        key: chex.PRNGKey,
        step: Array,
        observation: Nest,
        previous_action: Array,
        is_first: Array,
        memory: Nest,
    ) -> tuple[Nest, Nest]:
        del key, step
        if not jax.tree.leaves(memory):
            return split.represent(params, observation, memory)
        state, previous_observation = memory
        state = split.update_state(previous_observation, previous_action, state)
        state = tree_where(is_first, policy.initial_state(is_first.shape[0]), state)
        root, state = split.represent(params, observation, state)
        return root, (state, observation)

    return represent
