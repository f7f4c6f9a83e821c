"""MuZero's networks as the model of a search."""

import dataclasses

import chex
import haiku as hk
import jax
import jax.numpy as jnp
import mctx

from mukoe.agents.planning.root import make_root
from mukoe.networks.models import MuZeroNetworks
from mukoe.search.base import SearchModel
from mukoe.search.players import PlayersOutput, PlayersRoot, Turn, players_root
from mukoe.search.root import mask_logits
from mukoe.types import Array, EnvironmentSpec, Nest, Params, plays_in_turns


def prefix_model(
    networks: MuZeroNetworks, environment_spec: EnvironmentSpec, discount: float
) -> SearchModel:
    """Returns the learned model of `networks` with a value prefix.

    The reward of an edge is the prefix of the child less that of the parent, which is 0 where
    sum and memory begin anew after `value_prefix.period` actions from the root. An embedding
    holds the state, and memory, prefix and number of actions since the last reset.

    Args:
      networks: networks of the model, with a value prefix.
      environment_spec: spec of one environment; see `muzero_model`.
      discount: discount per step.
    """
    model, prefix = muzero_model(networks, environment_spec, discount), networks.value_prefix
    assert prefix is not None

    def root(params: Params, observation: jax.Array) -> mctx.RootFnOutput:
        output = model.root(params, observation)
        batch_size = output.value.shape[0]
        embedding = {
            "state": output.embedding,
            "memory": prefix.initial_memory(batch_size)._asdict(),
            "prefix": jnp.zeros(batch_size),
            "num_actions": jnp.zeros(batch_size, jnp.int32),
        }
        return dataclasses.replace(output, embedding=embedding)

    def recurrent(
        params: Params, key: chex.PRNGKey, action: Array, embedding: Nest
    ) -> tuple[mctx.RecurrentFnOutput, Nest]:
        output, state = model.recurrent(params, key, action, embedding["state"])
        memory, logits = prefix.step(params, hk.LSTMState(**embedding["memory"]), state)
        total = networks.reward_encoding.to_scalar(logits)
        num_actions = (embedding["num_actions"] + 1) % prefix.period
        continues = num_actions > 0
        kept = jax.tree.map(lambda x: x * continues[:, None], memory._asdict())
        output = dataclasses.replace(output, reward=total - embedding["prefix"])
        return output, {
            "state": state,
            "memory": kept,
            "prefix": total * continues,
            "num_actions": num_actions,
        }

    return SearchModel(root, recurrent, memory=model.memory)


def muzero_model(
    networks: MuZeroNetworks, environment_spec: EnvironmentSpec, discount: float
) -> SearchModel:
    """Returns the learned model of `networks`, every transition discounted alike.

    Args:
      networks: networks of the model, whose root takes the network input.
      environment_spec: spec of one environment. If players take turns, the value of the next
        state is the opponent's, with the opposite sign. Three and more players have a
        `players_model`.
      discount: discount per step.
    """
    if networks.num_players is not None:
        return players_model(networks, discount)
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

    return SearchModel(make_root(networks), recurrent, memory=networks.memory)


def players_model(networks: MuZeroNetworks, discount: float) -> SearchModel:
    """Returns the learned model of a game of `P` players, with their values and rewards.

    The player to move at a node is predicted. A player who is out of the game at the root stays
    out: the values and rewards are 0 in the whole tree, and the turn never comes. An embedding
    holds the state and the players in the game.

    Args:
      networks: networks of the model, with values and rewards of `P` players.
      discount: discount per step.
    """
    evaluate, players = make_root(networks), networks.num_players

    def root(params: Params, observation: Nest) -> mctx.RootFnOutput:
        output = evaluate(params, observation)
        active = jnp.ones((output.value.shape[0], players), bool)
        return dataclasses.replace(output, embedding={"state": output.embedding, "active": active})

    def take_turn(root: mctx.RootFnOutput, turn: Turn) -> PlayersRoot:
        embedding = {**root.embedding, "active": turn.active}
        return players_root(dataclasses.replace(root, embedding=embedding), turn)

    def recurrent(
        params: Params, key: chex.PRNGKey, action: Array, embedding: Nest
    ) -> tuple[PlayersOutput, Nest]:
        del key
        state, reward_logits = networks.dynamics(params, embedding["state"], action)
        prediction, active = networks.prediction(params, state), embedding["active"]
        player = jnp.argmax(mask_logits(prediction.player_logits, active), axis=-1)
        output = PlayersOutput(
            reward=networks.reward_encoding.to_scalar(reward_logits) * active,
            discount=jnp.full(action.shape[:1], discount),
            prior_logits=prediction.policy_logits,
            value=networks.value_encoding.to_scalar(prediction.value_logits) * active,
            player=player.astype(jnp.int32),
        )
        return output, {"state": state, "active": active}

    return SearchModel(root, recurrent, memory=networks.memory, take_turn=take_turn)
