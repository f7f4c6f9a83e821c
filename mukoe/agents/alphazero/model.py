"""The rules of a game as the model of a search."""

from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
import mctx

from mukoe.agents.alphazero.networks import AlphaZeroNetworks
from mukoe.agents.planning.root import make_root
from mukoe.agents.planning.symmetries import average_over
from mukoe.environments.board_symmetries import Symmetry
from mukoe.environments.pgx.chance import ChanceLaw
from mukoe.environments.pgx.positions import pack_position
from mukoe.environments.pgx.rules import GameState, Rules, player_rewards
from mukoe.search.base import SearchModel
from mukoe.search.players import PlayersOutput
from mukoe.search.root import complete_mask, mask_logits
from mukoe.search.stochastic import StochasticModel, stochastic_search_model
from mukoe.types import Array, Params


def alphazero_model(
    networks: AlphaZeroNetworks,
    rules: Rules,
    discount: float,
    symmetries: Sequence[Symmetry] = (),
) -> SearchModel:
    """Returns the model of a game's rules, whose positions the network evaluates.

    The embedding is the true state as bytes `[B, S]`, see `pack_position`. With three and more
    players, values and rewards are vectors, and players who are out of the game have the value 0.

    Args:
      networks: networks of the agent.
      rules: rules of a game, whose observations carry the true state.
      discount: discount per move.
      symmetries: symmetries over which the network's evaluations are averaged; () for none.
    """
    evaluate = average_over(symmetries, make_root(networks))

    def recurrent(
        params: Params, key: chex.PRNGKey, action: Array, position: Array
    ) -> tuple[mctx.RecurrentFnOutput, Array]:
        before = rules.unpack(position)
        after = rules.step(before, action, jax.random.split(key, action.shape[0]))
        prior_logits, value = _evaluated(evaluate, params, after)
        if rules.players >= 3:
            return PlayersOutput(
                reward=after.rewards,
                discount=jnp.where(after.terminated, 0.0, discount),
                prior_logits=prior_logits,
                value=value * after.active,
                player=after.current_player,
            ), pack_position(after)
        same_player = after.current_player == before.current_player
        ongoing = jnp.where(same_player, discount, -discount)
        output = mctx.RecurrentFnOutput(
            reward=player_rewards(after, before.current_player),
            discount=jnp.where(after.terminated, 0.0, ongoing),
            prior_logits=prior_logits,
            value=value,
        )
        return output, pack_position(after)

    return SearchModel(evaluate, recurrent, position=rules.spec.observations.position)


def chance_model(
    networks: AlphaZeroNetworks,
    rules: Rules,
    law: ChanceLaw,
    discount: float,
    symmetries: Sequence[Symmetry] = (),
) -> SearchModel:
    """Returns the model of a game of chance for one player, with the true law at its chance nodes.

    Args:
      networks: networks of the agent, with the values of afterstates.
      rules: rules of a game, whose observations carry the true state.
      law: law of its chance.
      discount: discount per move.
      symmetries: symmetries over which the network's evaluations of positions are averaged; ()
        for none. Those of afterstates are not.
    """
    assert networks.afterstate_value is not None
    evaluate = average_over(symmetries, make_root(networks))
    afterstate_value = networks.afterstate_value

    def decision(
        params: Params, key: chex.PRNGKey, action: Array, position: Array
    ) -> tuple[mctx.DecisionRecurrentFnOutput, Array]:
        del key
        afterstate = law.move(rules.unpack(position), action)
        logits = afterstate_value(params, afterstate.observation)
        value = networks.value_encoding.to_scalar(logits)
        output = mctx.DecisionRecurrentFnOutput(
            chance_logits=law.logits(afterstate),
            afterstate_value=afterstate.rewards[:, 0] + discount * value,
        )
        return output, pack_position(afterstate)

    def chance(
        params: Params, key: chex.PRNGKey, outcome: Array, afterstate: Array
    ) -> tuple[mctx.ChanceRecurrentFnOutput, Array]:
        del key
        position = law.happen(rules.unpack(afterstate), outcome)
        prior_logits, value = _evaluated(evaluate, params, position)
        output = mctx.ChanceRecurrentFnOutput(
            action_logits=prior_logits,
            value=value,
            reward=position.rewards[:, 0],
            discount=jnp.where(position.terminated, 0.0, discount),
        )
        return output, pack_position(position)

    model = StochasticModel(
        root=evaluate,
        decision=decision,
        chance=chance,
        num_actions=networks.action_space.num_outputs,
        num_outcomes=law.num_outcomes,
    )
    position = rules.spec.observations.position
    return stochastic_search_model(model)._replace(position=position)


def _evaluated(
    evaluate: Callable[[Params, Array], mctx.RootFnOutput], params: Params, position: GameState
) -> tuple[jax.Array, jax.Array]:
    """Returns the prior logits `[B, A]` of legal moves, and values that are 0 at the end."""
    prediction = evaluate(params, position.observation)
    legal = complete_mask(position.legal_action_mask, prediction.prior_logits)
    over = jnp.expand_dims(position.terminated, range(1, prediction.value.ndim))
    return mask_logits(prediction.prior_logits, legal), jnp.where(over, 0.0, prediction.value)
