"""Model of MuZero: representation, prediction and dynamics as pure functions."""

import dataclasses
from collections.abc import Callable

import chex
import haiku as hk
import jax
import jax.numpy as jnp
from dm_env import specs

from mukoe.errors import UserError
from mukoe.networks.action_encoding import check_action_encoding
from mukoe.networks.config import NetworkConfig
from mukoe.networks.distributions import GaussianConfig
from mukoe.networks.dynamics import LSTMDynamics, ResidualDynamics
from mukoe.networks.history import HistoryConfig, input_spec
from mukoe.networks.prediction import Prediction, PredictionHeads
from mukoe.networks.representation import Representation
from mukoe.networks.torsos import check_input
from mukoe.networks.value_encoding import ValueEncoding
from mukoe.types import Array, EnvironmentSpec, Params, is_continuous, split_legal_actions

REPRESENTATION = "representation"
"""Name of the module with the parameters of the representation."""


@dataclasses.dataclass(frozen=True)
class MuZeroNetworks:
    """The model as pure functions of one tree of parameters.

    init: `key -> params`.
    representation: `(params, network input [B, ...]) -> state`, `[B, h, w, width]`,
        `[B, width]` or, with an LSTM, `[B, 2 width]`; uint8 inputs are scaled to [0, 1].
    prediction: `(params, state) -> Prediction`.
    dynamics: `(params, state, action [B]) -> (state, reward_logits [B, bins])`; a continuous
        action is `[B, D]`, and is clipped to [-1, 1] as the environment does.
    value_encoding: decodes `value_logits`.
    reward_encoding: decodes `reward_logits`.
    num_actions: `A`; with continuous actions `D`, the length of one.
    gaussian: how `policy_logits` make a policy of continuous actions; None with discrete ones.
    """

    init: Callable[[chex.PRNGKey], Params]
    representation: Callable[[Params, jax.Array], jax.Array]
    prediction: Callable[[Params, jax.Array], Prediction]
    dynamics: Callable[[Params, jax.Array, Array], tuple[jax.Array, jax.Array]]
    value_encoding: ValueEncoding
    reward_encoding: ValueEncoding
    num_actions: int
    gaussian: GaussianConfig | None = None


def make_muzero_networks(
    environment_spec: EnvironmentSpec,
    history_config: HistoryConfig,
    network_config: NetworkConfig,
    continuous_actions: bool = False,
) -> MuZeroNetworks:
    """Builds the networks for an environment.

    Args:
      environment_spec: of single frames; a `MaskedObservation` counts by its features.
      history_config: what the network input adds to the current frame.
      network_config: the architecture.
      continuous_actions: whether the agent takes them.

    Raises:
      UserError: if the torso does not take the environment's observations, its actions
        have no place on the board, or they are continuous and the agent does not take
        them, or their bounds are not ±1.
    """
    features, _ = split_legal_actions(environment_spec.observations)
    spec = input_spec(features, history_config)
    check_input(network_config.torso, spec)
    continuous = continuous_actions and is_continuous(environment_spec)
    if continuous:
        num_actions = continuous_size(environment_spec.actions)
        _check_continuous(history_config, network_config)
    else:
        num_actions = count_actions(environment_spec)
        check_action_encoding(network_config, spec, num_actions)
    model = hk.without_apply_rng(
        hk.multi_transform(lambda: _model(network_config, num_actions, continuous))
    )
    representation, prediction, dynamics = model.apply

    def init(key: chex.PRNGKey) -> Params:
        return model.init(key, jnp.zeros((1, *spec.shape), spec.dtype))

    return MuZeroNetworks(
        init=init,
        representation=representation,
        prediction=prediction,
        dynamics=dynamics,
        value_encoding=ValueEncoding(network_config.value_support),
        reward_encoding=ValueEncoding(network_config.reward_support),
        num_actions=num_actions,
        gaussian=network_config.gaussian if continuous else None,
    )


def without_representation(params: Params) -> Params:
    """Returns the parameters that prediction and dynamics need."""
    return {name: value for name, value in params.items() if name.split("/")[0] != REPRESENTATION}


def count_actions(environment_spec: EnvironmentSpec) -> int:
    """Returns `A`.

    Raises:
      UserError: actions are continuous, so an agent that looks at each cannot have them.
    """
    if is_continuous(environment_spec):
        raise UserError(
            "this agent needs Discrete actions, and the environment's are vectors of "
            f"{environment_spec.actions.shape[0]} real numbers; Muesli takes them"
        )
    return int(environment_spec.actions.num_values)


def continuous_size(spec: specs.BoundedArray) -> int:
    """Returns the length of a continuous action.

    Raises:
      UserError: it is not one vector with bounds -1 and 1.
    """
    if len(spec.shape) != 1 or (spec.minimum != -1).any() or (spec.maximum != 1).any():
        raise UserError(
            "continuous actions must be one vector with bounds -1 and 1, not "
            f"{spec!r}; scale them in the environment"
        )
    return int(spec.shape[0])


def _check_continuous(history_config: HistoryConfig, network_config: NetworkConfig) -> None:
    if history_config.action_planes or network_config.action_encoding != "planes":
        raise UserError(
            "continuous actions have no planes of past actions and no place on a board; set "
            "history.action_planes=false and network.action_encoding='planes'"
        )


def _model(config: NetworkConfig, num_actions: int, continuous: bool):
    """Builds the functions for `hk.multi_transform`: one for init, and the three of the model."""
    representation = Representation(config, name=REPRESENTATION)
    policy_outputs = 2 * num_actions if continuous else num_actions
    prediction = PredictionHeads(config, policy_outputs, name="prediction")
    dynamics_type = LSTMDynamics if config.dynamics == "lstm" else ResidualDynamics
    dynamics = dynamics_type(config, num_actions, name="dynamics")

    def init(inputs: jax.Array) -> None:
        state = representation(inputs)
        prediction(state)
        batch = inputs.shape[:1]
        action = jnp.zeros((*batch, num_actions)) if continuous else jnp.zeros(batch, jnp.int32)
        dynamics(state, action)

    return init, (representation, prediction, dynamics)
