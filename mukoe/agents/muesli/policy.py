"""The policy of Muesli: a sample of the policy head, without search."""

from typing import Any

import chex

from mukoe.agents.muesli.actions import make_actions
from mukoe.agents.muesli.config import MuesliConfig
from mukoe.agents.planning.memory import RootObserver
from mukoe.networks.memory import MEMORY
from mukoe.networks.models import MuZeroNetworks
from mukoe.types import Array, EnvironmentSpec, Nest, Policy, PolicyParams, split_legal_actions


def make_policy(
    networks: MuZeroNetworks,
    environment_spec: EnvironmentSpec,
    config: MuesliConfig,
    evaluation: bool,
) -> Policy:
    """Makes the policy, whose state is the history of frames and actions, and that of a memory.

    It stores its distribution: the probabilities `behavior_policy` `[A]` of choices, and
    `behavior_mean` and `behavior_std` `[D]` of numbers; and the state `memory` `[S]` of a recurrent
    cell.
    """
    memory = networks.memory
    observer = RootObserver(environment_spec, networks.action_space, config.history, memory)
    actions = make_actions(networks, config)
    extras_spec = dict(actions.extras_spec)
    if memory is not None and memory.state_spec is not None:
        extras_spec[MEMORY] = memory.state_spec
    greedy = evaluation and config.evaluation == "mode"

    def apply(
        params: PolicyParams, key: chex.PRNGKey, observation: Nest, state: Nest
    ) -> tuple[Array, dict[str, Any], Nest]:
        _, legal_actions = split_legal_actions(observation)
        stored = observer.stored(state)
        inputs, state = observer.observe(params.network, observation, state)
        root = networks.representation(params.network, inputs)
        prediction = networks.prediction(params.network, root)
        policy = actions.policy(prediction.policy_logits, legal_actions)
        action = policy.mode() if greedy else policy.sample(key)
        extras = {
            **actions.stored(policy),
            "value": networks.value_encoding.to_scalar(prediction.value_logits),
            "policy_entropy": policy.entropy(),
            **stored,
        }
        return action, extras, observer.update_state(observation, action, state)

    return Policy(apply=apply, initial_state=observer.initial_state, extras_spec=extras_spec)
