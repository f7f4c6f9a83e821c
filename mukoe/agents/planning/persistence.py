"""Exploration by repeated actions, for rewards that are many equal actions away.

An action is that of the last step with a probability `p`, else that of the search. A search whose
values are all equal acts at random, step by step: it goes back and forth, and crosses no road. An
action that is repeated for `1 / (1 - p)` steps on average does (Dabney, Ostrovski and Barreto 2020,
arXiv:2006.01782, draw the number of repetitions from a zeta distribution). `p` differs between the
environments of an actor, as `ε` does in Ape-X (Horgan et al. 2018, arXiv:1803.00933): some explore
in long strides, others act as the search does. The search policy, the target of learning, stays.
"""

from collections.abc import Mapping
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from mukoe.agents.planning.policy import policy_of_parts
from mukoe.nests import tree_where
from mukoe.types import Array, Nest, Policy, PolicyParams, SplitPolicy

_LAST_ACTION = "last_action"
_PERSISTENCE = "persistence"


class PersistentState(NamedTuple):
    """Memory of a policy that repeats actions, for `B` environments.

    policy: state of the wrapped policy, whose action is taken when none is repeated.
    action: `[B, ...]` actions of the last step.
    persistence: `[B]` probabilities to repeat them, 0 at the first step of an episode.
    next_persistence: `[B]` probabilities of all later steps.
    """

    policy: Nest
    action: Array
    persistence: Array
    next_persistence: Array


def with_persistence(policy: Policy, persistence: float) -> Policy:
    """Returns a policy that repeats its last actions; illegal ones are not repeated.

    Args:
      policy: policy in parts, of environments with discrete or continuous actions.
      persistence: probability to repeat an action, in the first environment of a batch; it falls
        evenly to 0 in the last one.
    """
    inner = policy.split
    assert inner is not None

    def initial_state(batch_size: int) -> PersistentState:
        spec = inner.action_spec
        return PersistentState(
            policy.initial_state(batch_size),
            jnp.zeros((batch_size, *spec.shape), spec.dtype),
            jnp.zeros(batch_size),
            jnp.linspace(persistence, 0.0, batch_size),
        )

    def represent(
        params: PolicyParams, observation: Nest, state: PersistentState
    ) -> tuple[dict[str, Nest], PersistentState]:
        root, memory = inner.represent(params, observation, state.policy)
        repeated = {_LAST_ACTION: state.action, _PERSISTENCE: state.persistence}
        return {**root, **repeated}, state._replace(policy=memory)

    def search(
        params: PolicyParams, key: chex.PRNGKey, root: Nest, legal_actions: Array | None
    ) -> tuple[Array, Mapping[str, Array]]:
        root = dict(root)
        last, probability = root.pop(_LAST_ACTION), root.pop(_PERSISTENCE)
        key, repeat_key = jax.random.split(key)
        action, extras = inner.search(params, key, root, legal_actions)
        is_repeated = jax.random.uniform(repeat_key, probability.shape) < probability
        if legal_actions is not None:
            is_repeated &= jnp.take_along_axis(legal_actions, last[:, None], axis=1)[:, 0]
        return tree_where(is_repeated, last, action), extras

    def update_state(observation: Nest, action: Array, state: PersistentState) -> PersistentState:
        memory = inner.update_state(observation, action, state.policy)
        return PersistentState(memory, action, state.next_persistence, state.next_persistence)

    split = SplitPolicy(
        represent=represent,
        search=search,
        update_state=update_state,
        search_params=inner.search_params,
        action_spec=inner.action_spec,
    )

    return policy_of_parts(split, initial_state, policy.extras_spec)
