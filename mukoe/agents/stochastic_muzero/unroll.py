"""Predictions of Stochastic MuZero along stored actions and the codes of their outcomes."""

import jax.numpy as jnp

from mukoe.agents.extensions import Unroll, UnrollPredictions
from mukoe.agents.planning.config import leading_rows
from mukoe.agents.planning.memory import encode_rows
from mukoe.agents.planning.targets import network_inputs
from mukoe.agents.stochastic_muzero.config import StochasticMuZeroConfig
from mukoe.agents.stochastic_muzero.networks import StochasticMuZeroNetworks, straight_through
from mukoe.types import Params, Row


def make_unroll(networks: StochasticMuZeroNetworks, config: StochasticMuZeroConfig) -> Unroll:
    """Makes the function that unrolls the model, given the observed outcomes.

    Args:
      networks: networks of the agent.
      config: configuration of the agent.
    """
    first, steps = leading_rows(config), config.loss.unroll_steps

    def unroll(params: Params, rows: Row) -> UnrollPredictions:
        inputs = network_inputs(networks, config.history, rows, config.burn_in + steps + 1)
        inputs = encode_rows(networks.memory, params, inputs, rows, config.history, config.burn_in)
        states, rewards = [networks.representation(params, inputs[:, 0])], []
        for k in range(steps):
            action = jnp.asarray(rows.action)[:, first + k]
            afterstate = networks.afterstate_dynamics(params, states[-1], action)
            code = straight_through(networks.encoder(params, inputs[:, k], inputs[:, k + 1]))
            state, reward_logits = networks.dynamics(params, afterstate, code)
            states.append(state)
            rewards.append(networks.reward_encoding.to_scalar(reward_logits))
        predictions = [networks.prediction(params, state) for state in states]
        values = [networks.value_encoding.to_scalar(p.value_logits) for p in predictions]
        return UnrollPredictions(
            rewards=jnp.stack(rewards, axis=1),
            values=jnp.stack(values, axis=1),
            policy_logits=jnp.stack([p.policy_logits for p in predictions], axis=1),
        )

    return unroll
