"""Model of MuZero: representation, prediction and dynamics as pure functions."""

import dataclasses
from collections.abc import Callable

import chex
import haiku as hk
import jax

from mukoe.errors import UserError
from mukoe.nests import zeros
from mukoe.networks.action_encoding import check_action_encoding
from mukoe.networks.action_space import (
    ActionSpace,
    DiscreteSpace,
    make_action_space,
)
from mukoe.networks.config import NetworkConfig
from mukoe.networks.dynamics import DYNAMICS
from mukoe.networks.history import HistoryConfig, network_input_spec
from mukoe.networks.inputs import check_inputs
from mukoe.networks.memory import (
    MEMORY,
    NO_MEMORY,
    InputMemory,
    MemoryConfig,
    behind_memory,
    make_memory,
    with_memory_params,
)
from mukoe.networks.observation_statistics import check_vector
from mukoe.networks.precision import in_precision
from mukoe.networks.prediction import Prediction, PredictionHeads
from mukoe.networks.projection import PROJECTION, Projection
from mukoe.networks.representation import Representation
from mukoe.networks.value_encoding import ValueEncoding
from mukoe.networks.value_prefix import ValuePrefix
from mukoe.types import Array, EnvironmentSpec, Nest, Params, num_reward_players

REPRESENTATION = "representation"
"""Name of the module with the parameters of the representation."""


@dataclasses.dataclass(frozen=True)
class MuZeroNetworks:
    """Model as pure functions of one tree of parameters.

    init: `key -> params`.
    representation: `(params, network input [B, ...]) -> state`, `[B, h, w, width]`,
        `[B, width]` or, with an LSTM, `[B, 2 width]`; uint8 inputs are scaled to [0, 1].
        Observations of several parts are a nest of inputs.
    prediction: `(params, state) -> Prediction`.
    dynamics: `(params, state, action [B]) -> (state, reward_logits [B, bins])`, of three and more
        players `[B, P, bins]`; a continuous action is `[B, D]`, and is clipped to [-1, 1] as the
        environment does.
    value_encoding: decoder of `value_logits`.
    reward_encoding: decoder of `reward_logits`.
    action_space: policies of `policy_logits`, and the encoding of actions in the dynamics.
    projection: projector and predictor of a consistency loss; None without.
    value_prefix: sums of rewards, which replace those of `dynamics`; None without.
    memory: memory whose output is the network input of `representation`; None without.
    num_players: number of players with a value and a reward each; None for those of one.
    """

    init: Callable[[chex.PRNGKey], Params]
    representation: Callable[[Params, Nest], jax.Array]
    prediction: Callable[[Params, jax.Array], Prediction]
    dynamics: Callable[[Params, jax.Array, Array], tuple[jax.Array, jax.Array]]
    value_encoding: ValueEncoding
    reward_encoding: ValueEncoding
    action_space: ActionSpace
    projection: Projection | None = None
    value_prefix: ValuePrefix | None = None
    memory: InputMemory | None = None
    num_players: int | None = None


def make_muzero_networks(
    environment_spec: EnvironmentSpec,
    history_config: HistoryConfig,
    network_config: NetworkConfig,
    continuous_actions: bool = False,
    memory_config: MemoryConfig = NO_MEMORY,
) -> MuZeroNetworks:
    """Builds the networks for an environment.

    Args:
      environment_spec: spec with observations of one frame; of a `MaskedObservation` the
        features count.
      history_config: past frames and actions in the network input.
      network_config: architecture.
      continuous_actions: support of continuous actions in the agent.
      memory_config: memory in front of the representation.

    Raises:
      UserError: the torso does not take the environment's observations; actions have no place
        on the board; or actions are continuous, and the agent does not take them or their
        bounds are not ±1.
    """
    num_players = num_reward_players(environment_spec)
    spec = network_input_spec(environment_spec, history_config)
    check_observations(network_config, spec)
    memory = make_memory(memory_config, network_config, spec, network_config.normalize_observations)
    if memory is not None:
        spec, network_config = memory.spec, behind_memory(network_config, memory)
    action_space = encoded_action_space(
        environment_spec, spec, history_config, network_config, continuous_actions
    )
    model = hk.without_apply_rng(
        hk.multi_transform(lambda: _model(network_config, spec, action_space, num_players))
    )
    representation, prediction, dynamics = model.apply

    @jax.jit
    def init(key: chex.PRNGKey) -> Params:
        return model.init(key, zeros(spec, 1))

    return MuZeroNetworks(
        init=with_memory_params(init, memory),
        representation=in_precision(representation, network_config.precision, observes=True),
        prediction=in_precision(prediction, network_config.precision),
        dynamics=in_precision(dynamics, network_config.precision),
        value_encoding=ValueEncoding(network_config.value_support),
        reward_encoding=ValueEncoding(network_config.reward_support),
        action_space=action_space,
        memory=memory,
        num_players=num_players,
    )


def encoded_action_space(
    environment_spec: EnvironmentSpec,
    spec: Nest,
    history_config: HistoryConfig,
    network_config: NetworkConfig,
    continuous_actions: bool,
) -> ActionSpace:
    """Returns the action space of a model, whose actions are inputs of its dynamics.

    Args:
      environment_spec: spec with observations of one frame.
      spec: spec of one input of the representation.
      history_config: past frames and actions in the network input.
      network_config: architecture.
      continuous_actions: support of continuous actions in the agent.

    Raises:
      UserError: actions have no place on the board; or they are continuous, and the agent does not
        take them or their bounds are not ±1.
    """
    gaussian = network_config.gaussian if continuous_actions else None
    action_space = make_action_space(environment_spec, gaussian)
    if isinstance(action_space, DiscreteSpace):
        check_action_encoding(network_config, spec, action_space.size)
    else:
        _check_continuous(history_config, network_config)
    return action_space


def below_the_root(params: Params, *others: str) -> Params:
    """Returns the parameters that a search reads below the root.

    Args:
      params: parameters of an agent.
      *others: names of further modules that it does not read.
    """
    left_out = (REPRESENTATION, MEMORY, *PROJECTION, *others)
    return {name: value for name, value in params.items() if name.split("/")[0] not in left_out}


def _check_continuous(history_config: HistoryConfig, network_config: NetworkConfig) -> None:
    if history_config.action_planes or network_config.action_encoding != "planes":
        raise UserError(
            "continuous actions have no planes of past actions and no place on a board; set "
            "history.action_planes=false and network.action_encoding='planes'"
        )


def check_observations(config: NetworkConfig, spec: Nest) -> None:
    """Checks that an architecture takes network inputs.

    Args:
      config: architecture.
      spec: spec of one network input.

    Raises:
      UserError: a torso does not take its part, or inputs to normalise are not vectors.
    """
    check_inputs(config.torso, config.parts.torsos, spec)
    if config.normalize_observations:
        check_vector(spec)


def _model(config: NetworkConfig, spec: Nest, action_space: ActionSpace, num_players: int | None):
    """Builds the functions for `hk.multi_transform`: one for init, and the three of the model."""
    representation = Representation(config, spec, name=REPRESENTATION)
    prediction = PredictionHeads(
        config, action_space.num_outputs, "prediction", num_players, predicts_player=True
    )
    dynamics = DYNAMICS[config.dynamics](config, action_space, "dynamics", num_players)

    def init(inputs: Nest) -> None:
        state = representation(inputs)
        prediction(state)
        dynamics(state, zeros(action_space.spec, state.shape[0]))

    return init, (representation, prediction, dynamics)
