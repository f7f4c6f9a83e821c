"""Network calls of the policy of a planning agent, without its search."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from mukoe.agents.planning.config import PlanningConfig
from mukoe.agents.planning.memory import RootObserver
from mukoe.agents.planning.policy import position_of
from mukoe.networks.action_space import ActionSpace
from mukoe.search.base import SearchModel
from mukoe.search.candidates import candidate_root
from mukoe.search.players import turn_of
from mukoe.types import Array, EnvironmentSpec, Nest, PolicyParams


def make_network_calls(
    model: SearchModel,
    action_space: ActionSpace,
    environment_spec: EnvironmentSpec,
    config: PlanningConfig,
) -> Callable[[PolicyParams, Nest], Array]:
    """Makes the network calls of the policy without the search, to profile them.

    One evaluation of the root, then one model step and prediction for each simulation.
    """
    observer = RootObserver(environment_spec, action_space, config.history, model.memory)
    key = jax.random.PRNGKey(0)  # The model is deterministic.

    def best(outputs: Array) -> Array:
        if model.candidates is not None:
            return jnp.zeros(outputs.shape[0], jnp.int32)
        return action_space.policy(outputs).mode()

    def simulate(params: PolicyParams, previous: tuple, _: None) -> tuple[tuple, None]:
        action, embedding, total = previous
        output, embedding = model.recurrent(params.network, key, action, embedding)
        return (best(output.prior_logits), embedding, total + output.reward + output.value), None

    def calls(params: PolicyParams, observation: Nest) -> Array:
        batch_size = jax.tree.leaves(observation)[0].shape[0]
        state = observer.initial_state(batch_size)
        inputs, _ = observer.observe(params.network, observation, state)
        position, turn = position_of(observation), turn_of(observation)
        root = candidate_root(model, params.network, inputs, position, turn)
        (_, _, total), _ = jax.lax.scan(
            functools.partial(simulate, params),
            (best(root.prior_logits), root.embedding, root.value),
            length=config.search.num_simulations,
        )
        return total

    return calls
