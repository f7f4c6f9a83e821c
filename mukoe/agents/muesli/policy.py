"""The policy of Muesli: a sample of the policy head, without search."""

from typing import Any

import chex

from mukoe.agents.muesli.actions import make_actions
from mukoe.agents.muesli.config import MuesliConfig
from mukoe.networks.history import initial_history, network_input, update_state
from mukoe.networks.models import MuZeroNetworks
from mukoe.types import Array, EnvironmentSpec, Nest, Policy, PolicyParams, split_legal_actions


def make_policy(
    networks: MuZeroNetworks,
    environment_spec: EnvironmentSpec,
    config: MuesliConfig,
    evaluation: bool,
) -> Policy:
    """Makes the policy, whose memory is the history of frames and actions.

    It stores its distribution: the probabilities `behavior_policy` `[A]` of choices, and
    `behavior_mean` and `behavior_std` `[D]` of numbers.
    """
    features_spec, _ = split_legal_actions(environment_spec.observations)
    actions = make_actions(networks, config)
    greedy = evaluation and config.evaluation == "mode"

    def apply(
        params: PolicyParams, key: chex.PRNGKey, observation: Nest, state: Nest
    ) -> tuple[Array, dict[str, Any], Nest]:
        _, legal_actions = split_legal_actions(observation)
        inputs = network_input(observation, state, config.history, networks.num_actions)
        root = networks.representation(params.network, inputs)
        prediction = networks.prediction(params.network, root)
        policy = actions.policy(prediction.policy_logits, legal_actions)
        action = policy.mode() if greedy else policy.sample(key)
        extras = {
            **actions.stored(policy),
            "value": networks.value_encoding.to_scalar(prediction.value_logits),
            "policy_entropy": policy.entropy(),
        }
        return action, extras, update_state(observation, action, state)

    def initial_state(batch_size: int) -> Nest:
        return initial_history(features_spec, config.history, batch_size, environment_spec.actions)

    return Policy(apply=apply, initial_state=initial_state, extras_spec=actions.extras_spec)
