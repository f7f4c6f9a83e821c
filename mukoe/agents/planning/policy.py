"""Policy, inspector and network calls of the agents that search."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
import mctx
import numpy as np
from dm_env import specs

from mukoe.agents.planning.config import PlanningConfig, stores_learner_steps
from mukoe.networks.history import initial_history, network_input, update_state
from mukoe.search.base import SearchModel
from mukoe.search.inspection import Inspector
from mukoe.search.plan import plan
from mukoe.types import (
    Array,
    EnvironmentSpec,
    Nest,
    Params,
    Policy,
    PolicyParams,
    SearchStatistics,
    SplitPolicy,
    split_legal_actions,
)


def make_search_policy(
    model: SearchModel,
    environment_spec: EnvironmentSpec,
    config: PlanningConfig,
    evaluation: bool,
    search_params: Callable[[Params], Params],
) -> Policy:
    """Makes the policy that searches at every step.

    Its memory is the history of frames and actions. It stores `search_policy` `[A]`,
    `search_value` `[]` and, where the age of a row counts, `learner_steps` `[]`.

    Args:
      model: model of the search, whose root takes the network input.
      environment_spec: spec of one environment.
      config: configuration of the agent.
      evaluation: mode without exploration.
      search_params: function that selects the parameters below the root.
    """
    num_actions = int(environment_spec.actions.num_values)
    split = _split(model, num_actions, config, evaluation, search_params)
    features_spec, _ = split_legal_actions(environment_spec.observations)

    def apply(
        params: PolicyParams, key: chex.PRNGKey, observation: Nest, state: Nest
    ) -> tuple[Array, Mapping[str, Array], Nest]:
        _, legal_actions = split_legal_actions(observation)
        root = split.represent(params, observation, state)
        action, extras = split.search(params, key, root, legal_actions)
        return action, extras, split.update_state(observation, action, state)

    return Policy(
        apply=apply,
        initial_state=lambda batch_size: initial_history(features_spec, config.history, batch_size),
        extras_spec=_extras_spec(num_actions, config),
        split=split,
    )


def _extras_spec(num_actions: int, config: PlanningConfig) -> dict[str, specs.Array]:
    extras = SearchStatistics(
        search_policy=specs.Array((num_actions,), np.float32, "search_policy"),
        search_value=specs.Array((), np.float32, "search_value"),
    ).to_extras()
    if stores_learner_steps(config):
        extras["learner_steps"] = specs.Array((), np.int32, "learner_steps")
    return extras


def _split(
    model: SearchModel,
    num_actions: int,
    config: PlanningConfig,
    evaluation: bool,
    search_params: Callable[[Params], Params],
) -> SplitPolicy:
    """Returns the parts of the policy: root evaluation of the history, and search."""

    def represent(params: PolicyParams, observation: Nest, state: Nest) -> dict[str, Nest]:
        inputs = network_input(observation, state, config.history, num_actions)
        root = model.root(params.network, inputs)
        return {
            "prior_logits": root.prior_logits,
            "value": root.value,
            "embedding": root.embedding,
        }

    def search(
        params: PolicyParams, key: chex.PRNGKey, root: Nest, legal_actions: Array | None
    ) -> tuple[Array, dict[str, Array]]:
        output, _ = plan(
            config.search,
            model,
            params.network,
            key,
            mctx.RootFnOutput(**root),
            legal_actions,
            params.learner_steps,
            evaluation=evaluation,
        )
        stored = SearchStatistics(output.search_policy, output.search_value).to_extras()
        if stores_learner_steps(config):
            stored["learner_steps"] = jnp.broadcast_to(params.learner_steps, output.action.shape)
        return output.action, {**stored, **output.statistics}

    return SplitPolicy(
        represent=represent,
        search=search,
        update_state=update_state,
        search_params=lambda params: params._replace(network=search_params(params.network)),
    )


def make_inspector(
    model: SearchModel, environment_spec: EnvironmentSpec, config: PlanningConfig
) -> Inspector:
    """Makes the inspector of the policy's search in evaluation, which needs simulations."""
    num_actions = int(environment_spec.actions.num_values)
    features_spec, _ = split_legal_actions(environment_spec.observations)

    def inspect(params: PolicyParams, key: chex.PRNGKey, observation: Nest, state: Nest) -> Any:
        _, legal_actions = split_legal_actions(observation)
        inputs = network_input(observation, state, config.history, num_actions)
        root = model.root(params.network, inputs)
        return plan(
            config.search,
            model,
            params.network,
            key,
            root,
            legal_actions,
            params.learner_steps,
            evaluation=True,
        )

    return Inspector(
        inspect=inspect,
        update_state=update_state,
        initial_state=lambda batch_size: initial_history(features_spec, config.history, batch_size),
    )


def make_network_calls(
    model: SearchModel, environment_spec: EnvironmentSpec, config: PlanningConfig
) -> Callable[[PolicyParams, Nest], Array]:
    """Makes the network calls of the policy without the search, to profile them.

    One evaluation of the root, then one model step and prediction for each simulation.
    """
    num_actions = int(environment_spec.actions.num_values)
    features_spec, _ = split_legal_actions(environment_spec.observations)

    key = jax.random.PRNGKey(0)  # The model is deterministic.

    def simulate(params: PolicyParams, previous: tuple, _: None) -> tuple[tuple, None]:
        action, embedding, total = previous
        output, embedding = model.recurrent(params.network, key, action, embedding)
        action = jnp.argmax(output.prior_logits, axis=-1)
        return (action, embedding, total + output.reward + output.value), None

    def calls(params: PolicyParams, observation: Nest) -> Array:
        batch_size = jax.tree.leaves(observation)[0].shape[0]
        state = initial_history(features_spec, config.history, batch_size)
        inputs = network_input(observation, state, config.history, num_actions)
        root = model.root(params.network, inputs)
        action = jnp.argmax(root.prior_logits, axis=-1)
        (_, _, total), _ = jax.lax.scan(
            functools.partial(simulate, params),
            (action, root.embedding, root.value),
            length=config.search.num_simulations,
        )
        return total

    return calls
