"""MuZero's networks as the model that a search needs."""

import chex
import jax
import jax.numpy as jnp
import mctx

from mukoe.networks import MuZeroNetworks
from mukoe.search import SearchModel
from mukoe.types import Array, Params


def muzero_model(networks: MuZeroNetworks, discount: float) -> SearchModel:
    """Returns the learned model of `networks`, every transition discounted alike.

    Args:
      networks: the networks; the observation of the root is their network input.
      discount: the agent's discount; negative where the players take turns, because the
        value of the next state is then the opponent's.
    """

    def root(params: Params, observation: jax.Array) -> mctx.RootFnOutput:
        state = networks.representation(params, observation)
        prediction = networks.prediction(params, state)
        return mctx.RootFnOutput(
            prior_logits=prediction.policy_logits,
            value=networks.value_encoding.to_scalar(prediction.value_logits),
            embedding=state,
        )

    def recurrent(
        params: Params, key: chex.PRNGKey, action: Array, state: jax.Array
    ) -> tuple[mctx.RecurrentFnOutput, jax.Array]:
        del key
        state, reward_logits = networks.dynamics(params, state, action)
        prediction = networks.prediction(params, state)
        reward = networks.reward_encoding.to_scalar(reward_logits)
        output = mctx.RecurrentFnOutput(
            reward=reward,
            discount=jnp.full_like(reward, discount),
            prior_logits=prediction.policy_logits,
            value=networks.value_encoding.to_scalar(prediction.value_logits),
        )
        return output, state

    return SearchModel(root, recurrent)
