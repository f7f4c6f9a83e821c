"""MuZero's networks as the model of a search."""

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
      networks: networks of the model, whose root takes the network input.
      environment_spec: spec of one environment. If players take turns, the value of the next
        state is the opponent's, with the opposite sign.
      discount: discount per step.
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
