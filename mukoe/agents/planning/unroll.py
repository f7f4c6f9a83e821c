"""Predictions of a model along the actions of stored rows, for a diagnosis."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mukoe.agents.extensions import Unroll, UnrollPredictions
from mukoe.agents.planning.config import PlanningConfig, leading_rows
from mukoe.agents.planning.root import RootNetworks
from mukoe.agents.planning.targets import encoded_root_inputs
from mukoe.search.base import SearchModel
from mukoe.types import Params, Row


def make_unroll(networks: RootNetworks, model: SearchModel, config: PlanningConfig) -> Unroll:
    """Makes the function that unrolls the model from the first row after the leading ones.

    Args:
      networks: networks of the agent.
      model: model of the search.
      config: configuration of the agent.
    """
    first, steps = leading_rows(config), config.targets.unroll_steps

    def unroll(params: Params, rows: Row) -> UnrollPredictions:
        inputs = encoded_root_inputs(networks, config, params, rows, model.memory)
        root = model.root(params, inputs)
        chex.assert_rank(root.value, 1)
        embedding, values, policies = root.embedding, [root.value], [root.prior_logits]
        rewards, discounts = [], []
        key = jax.random.PRNGKey(0)  # The model is deterministic.
        for k in range(steps):
            action = jnp.asarray(rows.action)[:, first + k]
            output, embedding = model.recurrent(params, key, action, embedding)
            rewards.append(output.reward)
            discounts.append(output.discount)
            values.append(output.value)
            policies.append(output.prior_logits)
        none = jnp.zeros((np.shape(rows.reward)[0], 0))
        return UnrollPredictions(
            rewards=jnp.stack(rewards, axis=1) if rewards else none,
            values=jnp.stack(values, axis=1),
            policy_logits=jnp.stack(policies, axis=1),
            discounts=jnp.stack(discounts, axis=1) if discounts else none,
        )

    return unroll
