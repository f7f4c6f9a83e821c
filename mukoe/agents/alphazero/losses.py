"""The loss of AlphaZero (arXiv:1712.01815, equation 1), from stored rows.

A sample holds the rows from a position to the end of its game. The network evaluates the first
position; the targets are the search policy there and the return.
"""

import functools

import chex
import jax
import jax.numpy as jnp
from optax import softmax_cross_entropy as cross_entropy

from mukoe.agents.alphazero.config import AlphaZeroConfig
from mukoe.agents.alphazero.networks import AlphaZeroNetworks
from mukoe.agents.planning.config import leading_rows
from mukoe.agents.planning.losses import (
    UnrollLosses,
    check_prediction,
    cloning_metrics,
    full_search_losses,
    player_mean,
    policy_entropy,
    share_outside_bins,
    total_loss,
)
from mukoe.agents.planning.targets import UnrollTargets, root_inputs, sample_targets
from mukoe.environments.pgx.chance import ChanceLaw
from mukoe.nests import take
from mukoe.search.players import turn_of
from mukoe.types import Array, LossExtra, LossFunction, Params, Sample


def make_loss(
    networks: AlphaZeroNetworks,
    config: AlphaZeroConfig,
    chance_law: ChanceLaw | None = None,
) -> LossFunction:
    """Returns the pure loss function of a learner.

    Args:
      networks: networks of the agent.
      config: configuration of the agent.
      chance_law: law of a game of chance; None for other games.
    """
    return functools.partial(_loss, networks, config, chance_law)


def _loss(
    networks: AlphaZeroNetworks,
    config: AlphaZeroConfig,
    chance_law: ChanceLaw | None,
    params: Params,
    target_params: Params,
    sample: Sample,
    key: chex.PRNGKey,
) -> tuple[Array, LossExtra]:
    targets = sample_targets(networks, config, target_params, sample, key)
    features = root_inputs(networks, config.history, sample.rows)
    prediction = networks.prediction(params, networks.representation(params, features))
    check_prediction(networks, prediction, features.shape[0])
    value_probs = networks.value_encoding.to_probs(targets.values[:, 0])
    value_losses = cross_entropy(prediction.value_logits, value_probs)
    turn = turn_of(take(sample.rows.observation, slice(None), leading_rows(config)))
    # The search reads no value of a player who is out of the game.
    active = None if turn is None else turn.active
    losses = {
        "policy_loss": targets.masks.acted[:, 0]
        * full_search_losses(networks.action_space, prediction.policy_logits, targets, step=0),
        "value_loss": targets.masks.known[:, 0] * player_mean(value_losses, active),
    }
    weights = {"policy_loss": 1.0, "value_loss": config.loss.value_weight}
    if chance_law is not None:
        losses["afterstate_value_loss"] = targets.masks.acted[:, 0] * _afterstate_value_losses(
            networks, config, chance_law, params, features, targets
        )
        weights["afterstate_value_loss"] = config.loss.afterstate_value_weight
    root_value = networks.value_encoding.to_scalar(prediction.value_logits)
    metrics = {
        "policy_entropy": jnp.mean(policy_entropy(prediction.policy_logits)),
        "root_value": jnp.mean(root_value),
        "values_outside_bins": share_outside_bins(
            networks.value_encoding, targets.values, targets.masks.known
        ),
        **cloning_metrics(networks.action_space, prediction.policy_logits, targets),
    }
    unrolled = UnrollLosses(losses, root_value, metrics)
    return total_loss(config.replay, weights, sample, targets, unrolled)


def _afterstate_value_losses(
    networks: AlphaZeroNetworks,
    config: AlphaZeroConfig,
    chance_law: ChanceLaw,
    params: Params,
    features: Array,
    targets: UnrollTargets,
) -> jax.Array:
    """Returns the losses `[B]` of the values after the moves that were made.

    The return of a position is the reward of the move and the discounted value of its afterstate.
    """
    assert networks.afterstate_value is not None
    moved = chance_law.move_features(features, targets.actions[:, 0])
    values = (targets.values[:, 0] - targets.rewards[:, 0]) / config.discount
    logits = networks.afterstate_value(params, moved)
    return cross_entropy(logits, networks.value_encoding.to_probs(values))
