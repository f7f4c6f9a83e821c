"""MuZero's networks as the model that a search needs."""

import chex
import jax
import jax.numpy as jnp
import mctx

from mukoe.agents.planning.root import make_root
from mukoe.networks.models import MuZeroNetworks
from mukoe.search.base import SearchModel
from mukoe.types import Array, EnvironmentSpec, Params, plays_in_turns


def muzero_model(
    networks: MuZeroNetworks, environment_spec: EnvironmentSpec, discount: float
) -> SearchModel:
    """Returns the learned model of `networks`, every transition discounted alike.

    Args:
      networks: the networks; the observation of the root is their network input.
      environment_spec: says whether players take turns; the value of the next state is
        then the opponent's, and its sign is turned.
      discount: the agent's discount.
    """
    signed_discount = -discount if plays_in_turns(environment_spec) else discount

    def recurrent(
        params: Params, key: chex.PRNGKey, action: Array, state: jax.Array
    ) -> tuple[mctx.RecurrentFnOutput, jax.Array]:
        del key
        state, reward_logits = networks.dynamics(params, state, action)
        prediction = networks.prediction(params, state)
        reward = networks.reward_encoding.to_scalar(reward_logits)
        output = mctx.RecurrentFnOutput(
            reward=reward,
            discount=jnp.full_like(reward, signed_discount),
            prior_logits=prediction.policy_logits,
            value=networks.value_encoding.to_scalar(prediction.value_logits),
        )
        return output, state

    return SearchModel(make_root(networks), recurrent)
