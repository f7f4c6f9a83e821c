"""The policy of PPO: a sample of the policy head."""

from typing import Any

import chex
import numpy as np
from dm_env import specs

from mukoe.agents.ppo.config import PPOConfig
from mukoe.agents.ppo.networks import PPONetworks
from mukoe.networks.history import initial_history, network_input, update_state
from mukoe.types import Array, EnvironmentSpec, Nest, Policy, PolicyParams, split_legal_actions

EXTRAS_SPEC = {
    "log_prob": specs.Array((), np.float32, "log_prob"),
    "value": specs.Array((), np.float32, "value"),
}
"""Specs of the stored extras of a step: `log π(a | s)` and `v(s)`."""


def make_policy(
    networks: PPONetworks,
    environment_spec: EnvironmentSpec,
    config: PPOConfig,
    evaluation: bool,
) -> Policy:
    """Makes the policy, whose memory is the history of frames and actions."""
    features_spec, _ = split_legal_actions(environment_spec.observations)
    greedy = evaluation and config.evaluation == "mode"

    def apply(
        params: PolicyParams, key: chex.PRNGKey, observation: Nest, state: Nest
    ) -> tuple[Array, dict[str, Any], Nest]:
        _, legal_actions = split_legal_actions(observation)
        inputs = network_input(observation, state, config.history, networks.num_actions)
        outputs, value = networks.apply(params.network, inputs)
        policy = networks.policy(outputs, legal_actions)
        action = policy.mode() if greedy else policy.sample(key)
        extras = {
            "log_prob": policy.log_prob(action),
            "value": value,
            "policy_entropy": policy.entropy(),
        }
        return action, extras, update_state(observation, action, state)

    def initial_state(batch_size: int) -> Nest:
        return initial_history(features_spec, config.history, batch_size, environment_spec.actions)

    return Policy(apply=apply, initial_state=initial_state, extras_spec=EXTRAS_SPEC)
