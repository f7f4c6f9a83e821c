"""The true rules as the model that a search needs."""

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
    """Returns the rules, in which the network says what a position is worth.

    Its embedding is what the player to move sees of a position.

    Args:
      networks: the network.
      rules: of one of `FULLY_OBSERVED_GAMES`.
      discount: the agent's discount of a move.
    """
    look = make_root(networks)

    def root(params: Params, features: Array) -> mctx.RootFnOutput:
        return dataclasses.replace(look(params, features), embedding=features)

    def recurrent(
        params: Params, key: chex.PRNGKey, action: Array, features: Array
    ) -> tuple[mctx.RecurrentFnOutput, Array]:
        before = rebuild_positions(rules, features)
        game = rules.step(before, action, jax.random.split(key, action.shape[0]))
        seen = look(params, game.observation)
        legal = complete_mask(game.legal_action_mask, seen.prior_logits)
        output = mctx.RecurrentFnOutput(
            reward=game.rewards[:, 0],
            discount=jnp.where(game.terminated, 0.0, -discount),
            prior_logits=mask_logits(seen.prior_logits, legal),
            value=jnp.where(game.terminated, 0.0, seen.value),
        )
        return output, game.observation

    return SearchModel(root, recurrent)
