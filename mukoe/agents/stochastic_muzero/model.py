"""Stochastic MuZero's networks as the model of a search."""

import chex
import jax
import jax.numpy as jnp
import mctx

from mukoe.agents.planning.root import make_root
from mukoe.agents.stochastic_muzero.networks import StochasticMuZeroNetworks
from mukoe.search.base import SearchModel
from mukoe.search.candidates import CandidateSampler
from mukoe.search.stochastic import StochasticModel, stochastic_search_model
from mukoe.types import Array, EnvironmentSpec, Params, plays_in_turns


def stochastic_muzero_model(
    networks: StochasticMuZeroNetworks,
    environment_spec: EnvironmentSpec,
    discount: float,
    sample_outcomes: bool = False,
    candidates: CandidateSampler | None = None,
) -> SearchModel:
    """Returns the learned model of `networks` for a search.

    Args:
      networks: networks of the model, whose root takes the network input.
      environment_spec: spec of one environment; see `decisions_and_chance`.
      discount: discount per step.
      sample_outcomes: see `mukoe.search.stochastic.stochastic_search_model`.
      candidates: sampler of candidates; None for a search over all actions.
    """
    model = decisions_and_chance(networks, environment_spec, discount)
    search_model = stochastic_search_model(model, sample_outcomes, candidates)
    return search_model._replace(memory=networks.memory)


def decisions_and_chance(
    networks: StochasticMuZeroNetworks, environment_spec: EnvironmentSpec, discount: float
) -> StochasticModel:
    """Returns the learned model of `networks`, every transition discounted alike.

    Args:
      networks: networks of the model, whose root takes the network input.
      environment_spec: spec of one environment. If players take turns, the value of the next
        state is the opponent's, with the opposite sign; that of an afterstate is not.
      discount: discount per step.
    """
    signed_discount = -discount if plays_in_turns(environment_spec) else discount

    def decision(
        params: Params, key: chex.PRNGKey, action: Array, state: jax.Array
    ) -> tuple[mctx.DecisionRecurrentFnOutput, jax.Array]:
        del key
        afterstate = networks.afterstate_dynamics(params, state, action)
        prediction = networks.afterstate_prediction(params, afterstate)
        output = mctx.DecisionRecurrentFnOutput(
            chance_logits=prediction.chance_logits,
            afterstate_value=networks.value_encoding.to_scalar(prediction.value_logits),
        )
        return output, afterstate

    def chance(
        params: Params, key: chex.PRNGKey, outcome: Array, afterstate: jax.Array
    ) -> tuple[mctx.ChanceRecurrentFnOutput, jax.Array]:
        del key
        code = jax.nn.one_hot(outcome, networks.codebook_size)
        state, reward_logits = networks.dynamics(params, afterstate, code)
        prediction = networks.prediction(params, state)
        reward = networks.reward_encoding.to_scalar(reward_logits)
        output = mctx.ChanceRecurrentFnOutput(
            action_logits=prediction.policy_logits,
            value=networks.value_encoding.to_scalar(prediction.value_logits),
            reward=reward,
            discount=jnp.full_like(reward, signed_discount),
        )
        return output, state

    return StochasticModel(
        root=make_root(networks),
        decision=decision,
        chance=chance,
        num_actions=networks.action_space.num_outputs,
        num_outcomes=networks.codebook_size,
    )
