"""AlphaZero's network: MuZero's representation and prediction, without a dynamics."""

import dataclasses
from collections.abc import Callable

import chex
import haiku as hk
import jax
import jax.numpy as jnp
from dm_env import specs

from mukoe.networks.action_space import DiscreteSpace
from mukoe.networks.config import NetworkConfig
from mukoe.networks.heads import make_head
from mukoe.networks.models import REPRESENTATION
from mukoe.networks.precision import in_precision
from mukoe.networks.prediction import Prediction, PredictionHeads
from mukoe.networks.representation import Representation
from mukoe.networks.value_encoding import ValueEncoding
from mukoe.types import Params


@dataclasses.dataclass(frozen=True)
class AlphaZeroNetworks:
    """Pure functions of one tree of parameters.

    init: `key -> params`.
    representation: `(params, features [B, H, W, C]) -> state [B, H, W, width]`.
    prediction: `(params, state) -> Prediction`.
    value_encoding: encoding of `value_logits`.
    action_space: `A` actions.
    num_players: number of players with a value each; None for the value of the player to move.
    afterstate_value: `(params, features [B, H, W, C]) -> value_logits [B, bins]` of positions after
        a move and before the outcome of chance; None for games without chance.
    """

    init: Callable[[chex.PRNGKey], Params]
    representation: Callable[[Params, jax.Array], jax.Array]
    prediction: Callable[[Params, jax.Array], Prediction]
    value_encoding: ValueEncoding
    action_space: DiscreteSpace
    num_players: int | None = None
    afterstate_value: Callable[[Params, jax.Array], jax.Array] | None = None


def make_alphazero_networks(
    features: specs.Array,
    num_actions: int,
    config: NetworkConfig,
    num_players: int | None = None,
    chance: bool = False,
) -> AlphaZeroNetworks:
    """Builds the network.

    Args:
      features: spec `[H, W, C]` of a position's observation.
      num_actions: number of actions `A`.
      config: configuration of representation and prediction.
      num_players: number of players with a value each; None for the value of the player to move.
      chance: True for a game of chance, whose afterstates have a value.
    """
    model = hk.without_apply_rng(
        hk.multi_transform(lambda: _model(config, features, num_actions, num_players, chance))
    )
    representation, prediction, afterstate_value = model.apply

    @jax.jit
    def init(key: chex.PRNGKey) -> Params:
        return model.init(key, jnp.zeros((1, *features.shape), features.dtype))

    return AlphaZeroNetworks(
        init=init,
        representation=in_precision(representation, config.precision, observes=True),
        prediction=in_precision(prediction, config.precision),
        value_encoding=ValueEncoding(config.value_support),
        action_space=DiscreteSpace(num_actions),
        num_players=num_players,
        afterstate_value=in_precision(afterstate_value, config.precision, observes=True)
        if chance
        else None,
    )


def _model(
    config: NetworkConfig,
    features: specs.Array,
    num_actions: int,
    num_players: int | None,
    chance: bool,
):
    """Returns the arguments of `hk.multi_transform`: function for init, and the three functions."""
    representation = Representation(config, features, name=REPRESENTATION)
    prediction = PredictionHeads(config, num_actions, "prediction", num_players)
    afterstate_head = make_head(config.value_support.num_bins, config, "afterstate_value_head")

    def afterstate_value(inputs: jax.Array) -> jax.Array:
        return afterstate_head(representation(inputs))

    def init(inputs: jax.Array) -> None:
        prediction(representation(inputs))
        if chance:
            afterstate_value(inputs)

    return init, (representation, prediction, afterstate_value)
