"""Predictions of Stochastic MuZero along stored actions and the codes of their outcomes."""

import jax
import jax.numpy as jnp

from mukoe.agents.extensions import Unroll, UnrollPredictions
from mukoe.agents.planning.config import leading_rows
from mukoe.agents.planning.memory import encode_rows
from mukoe.agents.planning.targets import network_inputs
from mukoe.agents.stochastic_muzero.config import StochasticMuZeroConfig
from mukoe.agents.stochastic_muzero.networks import StochasticMuZeroNetworks
from mukoe.search.stochastic import StochasticModel
from mukoe.types import Params, Row


def make_unroll(
    networks: StochasticMuZeroNetworks, model: StochasticModel, config: StochasticMuZeroConfig
) -> Unroll:
    """Makes the function that unrolls the model, given the observed outcomes.

    Args:
      networks: networks of the agent.
      model: model of the search, over all actions.
      config: configuration of the agent.
    """
    first, steps = leading_rows(config), config.loss.unroll_steps

    def unroll(params: Params, rows: Row) -> UnrollPredictions:
        inputs = network_inputs(networks, config.history, rows, config.burn_in + steps + 1)
        inputs = encode_rows(networks.memory, params, inputs, rows, config.history, config.burn_in)
        root, key = model.root(params, inputs[:, 0]), jax.random.PRNGKey(0)
        state, outputs = root.embedding, []
        for k in range(steps):
            action = jnp.asarray(rows.action)[:, first + k]
            _, afterstate = model.decision(params, key, action, state)
            code = jnp.argmax(networks.encoder(params, inputs[:, k], inputs[:, k + 1]), axis=-1)
            output, state = model.chance(params, key, code, afterstate)
            outputs.append(output)
        logits = [root.prior_logits, *(output.action_logits for output in outputs)]
        return UnrollPredictions(
            rewards=jnp.stack([output.reward for output in outputs], axis=1),
            values=jnp.stack([root.value, *(output.value for output in outputs)], axis=1),
            policy_logits=jnp.stack(logits, axis=1),
            discounts=jnp.stack([output.discount for output in outputs], axis=1),
        )

    return unroll
