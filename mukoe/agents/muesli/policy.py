"""The policy of Muesli: one look at the network, and a draw from its policy head."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from mukoe.agents.muesli.config import MuesliConfig
from mukoe.networks.history import initial_history, network_input, remember
from mukoe.networks.models import MuZeroNetworks
from mukoe.search.statistics import entropy
from mukoe.types import Array, EnvironmentSpec, Nest, Policy, PolicyParams, split_legal_actions

_ILLEGAL = -1e9
"""Logit of an illegal action; its probability is exactly 0."""


def mask_logits(logits: Array, legal_actions: Array | None) -> Array:
    """Returns policy logits `[..., A]` under which illegal actions have probability 0."""
    return logits if legal_actions is None else jnp.where(legal_actions, logits, _ILLEGAL)


def make_policy(
    networks: MuZeroNetworks,
    environment_spec: EnvironmentSpec,
    config: MuesliConfig,
    evaluation: bool,
) -> Policy:
    """Makes the policy that acts without search.

    Its memory is the history of frames and actions. It stores `behavior_policy` `[A]`, the
    probabilities that the action was drawn with.
    """
    features_spec, _ = split_legal_actions(environment_spec.observations)
    greedy = evaluation and config.evaluation == "mode"

    def apply(
        params: PolicyParams, key: chex.PRNGKey, observation: Nest, state: Nest
    ) -> tuple[Array, dict[str, Any], Nest]:
        _, legal_actions = split_legal_actions(observation)
        inputs = network_input(observation, state, config.history, networks.num_actions)
        root = networks.representation(params.network, inputs)
        prediction = networks.prediction(params.network, root)
        logits = mask_logits(prediction.policy_logits, legal_actions)
        drawn = jnp.argmax(logits, axis=-1) if greedy else jax.random.categorical(key, logits)
        action = drawn.astype(jnp.int32)
        policy = jax.nn.softmax(logits)
        extras = {
            "behavior_policy": policy,
            "value": networks.value_encoding.to_scalar(prediction.value_logits),
            "policy_entropy": entropy(policy),
        }
        return action, extras, remember(observation, action, state)

    return Policy(
        apply=apply,
        initial_state=lambda batch_size: initial_history(features_spec, config.history, batch_size),
        extras_spec={
            "behavior_policy": specs.Array((networks.num_actions,), np.float32, "behavior_policy")
        },
    )
