"""The rules of a game as the model of a search."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import mctx

from mukoe.agents.alphazero.networks import AlphaZeroNetworks
from mukoe.agents.planning.root import make_root
from mukoe.environments.pgx.fully_observed import rebuild_positions
from mukoe.environments.pgx.rules import Rules
from mukoe.search.base import SearchModel
from mukoe.search.root import complete_mask, mask_logits
from mukoe.types import Array, Params


def alphazero_model(networks: AlphaZeroNetworks, rules: Rules, discount: float) -> SearchModel:
    """Returns the model of a game's rules, whose positions the network evaluates.

    The embedding is the observation of the player to move.

    Args:
      networks: networks of the agent.
      rules: rules of a game of `FULLY_OBSERVED_GAMES`.
      discount: discount per move.
    """
    evaluate = make_root(networks)

    def root(params: Params, features: Array) -> mctx.RootFnOutput:
        return dataclasses.replace(evaluate(params, features), embedding=features)

    def recurrent(
        params: Params, key: chex.PRNGKey, action: Array, features: Array
    ) -> tuple[mctx.RecurrentFnOutput, Array]:
        before = rebuild_positions(rules, features)
        after = rules.step(before, action, jax.random.split(key, action.shape[0]))
        prediction = evaluate(params, after.observation)
        legal = complete_mask(after.legal_action_mask, prediction.prior_logits)
        output = mctx.RecurrentFnOutput(
            reward=after.rewards[:, 0],
            discount=jnp.where(after.terminated, 0.0, -discount),
            prior_logits=mask_logits(prediction.prior_logits, legal),
            value=jnp.where(after.terminated, 0.0, prediction.value),
        )
        return output, after.observation

    return SearchModel(root, recurrent)
