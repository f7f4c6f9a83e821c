"""The policy of PPO: a sample of the policy head, with noise that may persist over steps."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from mukoe.agents.ppo.config import PPOConfig
from mukoe.agents.ppo.networks import PPONetworks
from mukoe.networks.distributions import Distribution
from mukoe.networks.history import initial_history, network_input, update_state
from mukoe.types import Array, EnvironmentSpec, Nest, Policy, PolicyParams, split_legal_actions

EXTRAS_SPEC = {
    "log_prob": specs.Array((), np.float32, "log_prob"),
    "value": specs.Array((), np.float32, "value"),
}
"""Specs of the stored extras of a step: `log π(a | s)` and `v(s)`."""


class PPOState(NamedTuple):
    """Memory of the policy, for `B` environments.

    history: past frames and actions.
    noise: noise of the last actions, `[B, E]`; `()` where every action has noise of its own.
    is_drawn: `[B]` bool, False at the first step of an episode; `()` where `noise` is.
    memory: state of the networks' memory; `()` without one.
    """

    history: Nest
    noise: Nest = ()
    is_drawn: Nest = ()
    memory: Nest = ()


def make_policy(
    networks: PPONetworks,
    environment_spec: EnvironmentSpec,
    config: PPOConfig,
    evaluation: bool,
) -> Policy:
    """Makes the policy, whose state is the history, the noise and the state of the memory."""
    features_spec, _ = split_legal_actions(environment_spec.observations)
    greedy = evaluation and config.evaluation == "mode"
    persistence = 0.0 if evaluation else config.noise_persistence

    def apply(
        params: PolicyParams, key: chex.PRNGKey, observation: Nest, state: PPOState
    ) -> tuple[Array, dict[str, Any], PPOState]:
        _, legal_actions = split_legal_actions(observation)
        inputs = network_input(
            observation, state.history, config.history, networks.action_space.size
        )
        if networks.memory is not None:
            inputs, memory = networks.memory.step(params.network, inputs, state.memory)
            state = state._replace(memory=memory)
        outputs, value = networks.apply(params.network, inputs)
        policy = networks.policy(outputs, legal_actions)
        if greedy:
            action = policy.mode()
        elif persistence:
            left = 1.0 - params.learner_steps / config.persistent_updates
            state = _keep_noise(policy, persistence * jnp.maximum(left, 0.0), state, key)
            action = policy.perturb(state.noise)
        else:
            action = policy.sample(key)
        extras = {
            "log_prob": policy.log_prob(action),
            "value": value,
            "policy_entropy": policy.entropy(),
        }
        history = update_state(observation, action, state.history)
        return action, extras, state._replace(history=history)

    def initial_state(batch_size: int) -> PPOState:
        history = initial_history(
            features_spec, config.history, batch_size, environment_spec.actions
        )
        memory = networks.memory.initial_state(batch_size) if networks.memory else ()
        if not persistence:
            return PPOState(history, memory=memory)
        noise = jnp.zeros((batch_size, networks.action_space.size), jnp.float32)
        return PPOState(history, noise, jnp.zeros(batch_size, bool), memory)

    return Policy(apply=apply, initial_state=initial_state, extras_spec=EXTRAS_SPEC)


def _keep_noise(
    policy: Distribution, persistence: Array, state: PPOState, key: chex.PRNGKey
) -> PPOState:
    """Draws new noise for the environments that do not keep that of their last action.

    The probability to keep it falls evenly over the environments of a vector, from `persistence`
    to 0: some explore in long strides, others step by step.
    """
    noise_key, keep_key = jax.random.split(key)
    batch_size = state.is_drawn.shape[0]
    probabilities = jnp.linspace(persistence, 0.0, batch_size)
    kept = state.is_drawn & (jax.random.uniform(keep_key, (batch_size,)) < probabilities)
    noise = jnp.where(kept[:, None], state.noise, policy.noise(noise_key))
    return state._replace(noise=noise, is_drawn=jnp.ones_like(kept))
