"""The policy of MuZero: look at the history, search, act."""

from collections.abc import Callable
from typing import Any

import chex
import numpy as np
from dm_env import specs

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.muzero.model import muzero_model
from mukoe.networks.history import initial_history, push, stack
from mukoe.networks.models import MuZeroNetworks
from mukoe.search import Inspector, make_search, make_tree_search
from mukoe.types import Array, EnvironmentSpec, Nest, Policy, PolicyParams, split_legal_actions


def make_policy(
    networks: MuZeroNetworks,
    environment_spec: EnvironmentSpec,
    config: MuZeroConfig,
    evaluation: bool,
) -> Policy:
    """Makes the policy that searches at every step.

    Its memory is the history of frames and actions. It stores `search_policy` `[A]` and
    `search_value` `[]`.
    """
    search = make_search(
        config.search, muzero_model(networks, environment_spec, config.search.discount), evaluation
    )
    look = _with_history(search, config, networks)
    features_spec, _ = split_legal_actions(environment_spec.observations)

    def apply(
        params: PolicyParams, key: chex.PRNGKey, observation: Nest, state: Nest
    ) -> tuple[Array, dict[str, Array], Nest]:
        output = look(params, key, observation, state)
        extras = {
            "search_policy": output.search_policy,
            "search_value": output.search_value,
            **output.statistics,
        }
        return output.action, extras, _remember(observation, output.action, state)

    return Policy(
        apply=apply,
        initial_state=lambda batch_size: initial_history(features_spec, config.history, batch_size),
        extras_spec={
            "search_policy": specs.Array((networks.num_actions,), np.float32, "search_policy"),
            "search_value": specs.Array((), np.float32, "search_value"),
        },
    )


def make_inspector(
    networks: MuZeroNetworks, environment_spec: EnvironmentSpec, config: MuZeroConfig
) -> Inspector:
    """Makes what shows the search of the policy in evaluation.

    Raises:
      UserError: the policy acts without simulations.
    """
    model = muzero_model(networks, environment_spec, config.search.discount)
    search = make_tree_search(config.search, model, evaluation=True)
    features_spec, _ = split_legal_actions(environment_spec.observations)

    return Inspector(
        inspect=_with_history(search, config, networks),
        remember=_remember,
        initial_state=lambda batch_size: initial_history(features_spec, config.history, batch_size),
    )


def _with_history(search: Callable, config: MuZeroConfig, networks: MuZeroNetworks) -> Callable:
    """The search from an observation and the policy's memory, instead of a network input."""

    def look(params: PolicyParams, key: chex.PRNGKey, observation: Nest, state: Nest) -> Any:
        features, legal_actions = split_legal_actions(observation)
        inputs = stack(state, features, config.history, networks.num_actions)
        return search(params.network, key, inputs, legal_actions, params.learner_steps)

    return look


def _remember(observation: Nest, action: Array, state: Nest) -> Nest:
    features, _ = split_legal_actions(observation)
    return push(state, features, action)
