"""The model of MuZero: representation, prediction and dynamics as pure functions."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import chex
import haiku as hk
import jax
import jax.numpy as jnp
import optax
from dm_env import specs
from msgspec import Meta

from mukoe.configuration.bounds import MOST_COMPILED, PositiveInt, UnitInterval
from mukoe.configuration.fields import Validated
from mukoe.errors import UserError
from mukoe.networks.distributions import GaussianConfig
from mukoe.networks.heads import Head
from mukoe.networks.history import HistoryConfig, input_spec, scale_pixels
from mukoe.networks.residual import layer, residual_blocks
from mukoe.networks.torsos import TORSOS, check_input, make_torso
from mukoe.networks.value_encoding import SupportConfig, ValueEncoding
from mukoe.types import Array, EnvironmentSpec, Params, is_continuous, split_legal_actions

REPRESENTATION = "representation"
"""Where the parameters of the representation are."""


@dataclasses.dataclass(frozen=True)
class NetworkConfig(Validated):
    """The networks of MuZero. Paper: arXiv:1911.08265, appendix F, on Atari."""

    # 'mlp', 'flat', 'board', 'small', 'large' or 'impala', see `mukoe.networks.torsos`.
    # Paper: 'large'.
    torso: str = "mlp"
    # Layers of the torsos 'mlp' and 'flat' before the state; channels of the stages of 'impala'.
    hidden_sizes: tuple[PositiveInt, ...] = (128,)
    # Channels of a spatial state, length of a vector state. Paper: 256.
    width: PositiveInt = 64
    # Residual blocks between torso and state. Paper: 16 for board games; for Atari it is
    # silent on whether the 16 follow the down-sampling.
    representation_blocks: Annotated[int, Meta(ge=0, le=MOST_COMPILED)] = 0
    # 'residual' blocks, or an 'lstm' that takes actions as input (Muesli, arXiv:2104.06159);
    # its state is a vector of 2 x `width`: output and cell.
    dynamics: Literal["residual", "lstm"] = "residual"
    # Residual blocks of the dynamics. Paper: 16.
    dynamics_blocks: Annotated[int, Meta(ge=0, le=MOST_COMPILED)] = 1
    # How an action enters a spatial state: 'planes', one for each action, filled with 1 or 0;
    # 'cell', one plane with a 1 where the stone goes (paper: Go, shogi; a last action beyond
    # the cells is a pass, all zeros); 'column', one plane with a 1 all along a column.
    action_encoding: Literal["planes", "cell", "column"] = "planes"
    # Channels of the 1x1 convolution of a head on a spatial state.
    head_channels: PositiveInt = 16
    # Hidden layers of a head.
    head_sizes: tuple[PositiveInt, ...] = (64,)
    # The policy head of continuous actions.
    gaussian: GaussianConfig = GaussianConfig()
    # Scale states to [0, 1], but for those of an LSTM. Paper: yes (appendix G).
    scale_hidden_state: bool = True
    # Gradient into the state that enters a dynamics call. Paper: 1/2 (appendix G).
    dynamics_gradient_scale: UnitInterval = 0.5
    # Bins of the value. Paper: 601 over [-300, 300], transformed.
    value_support: SupportConfig = SupportConfig()
    # Bins of the reward. Paper: as the value.
    reward_support: SupportConfig = SupportConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.torso not in TORSOS:
            raise UserError(f"unknown torso {self.torso!r}; known are {', '.join(TORSOS)}")
        if self.width % 2:
            raise UserError(f"network.width must be even, not {self.width}")


class Prediction(NamedTuple):
    """What the model says about a state.

    policy_logits: `[B, A]`; with continuous actions `[B, 2 D]`, see `gaussian_policy`.
    value_logits: `[B, bins]`.
    """

    policy_logits: jax.Array
    value_logits: jax.Array


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


def check_action_encoding(config: NetworkConfig, spec: specs.Array, num_actions: int) -> None:
    """Raises a UserError unless actions have a place in the input of this spec."""
    if config.action_encoding == "planes":
        return
    if config.torso != "board":
        raise UserError(
            f"action_encoding {config.action_encoding!r} needs torso 'board', whose state has the "
            f"cells of the board, not {config.torso!r}"
        )
    height, width = spec.shape[:2]
    cells = height * width
    fitting = (width,) if config.action_encoding == "column" else (cells, cells + 1)
    if num_actions not in fitting:
        raise UserError(
            f"action_encoding {config.action_encoding!r} on a {height}x{width} board takes "
            f"{' or '.join(map(str, fitting))} actions, not {num_actions}; use 'planes'"
        )


def _model(config: NetworkConfig, num_actions: int, continuous: bool):
    """Returns what `hk.multi_transform` takes: a function for init, and the three functions."""
    representation = Representation(config, name=REPRESENTATION)
    policy_outputs = 2 * num_actions if continuous else num_actions
    prediction = PredictionHeads(config, policy_outputs, name="prediction")
    dynamics_type = _LSTMDynamics if config.dynamics == "lstm" else _Dynamics
    dynamics = dynamics_type(config, num_actions, name="dynamics")

    def init(inputs: jax.Array) -> None:
        state = representation(inputs)
        prediction(state)
        batch = inputs.shape[:1]
        action = jnp.zeros((*batch, num_actions)) if continuous else jnp.zeros(batch, jnp.int32)
        dynamics(state, action)

    return init, (representation, prediction, dynamics)


class Representation(hk.Module):
    """From the network input `[B, ...]` to the first state."""

    def __init__(self, config: NetworkConfig, name: str):
        super().__init__(name=name)
        self._config = config

    def __call__(self, inputs: jax.Array) -> jax.Array:
        config = self._config
        torso = make_torso(config.torso, config.hidden_sizes, config.width)
        x = residual_blocks(torso(scale_pixels(inputs)), config.representation_blocks)
        if config.dynamics == "lstm":
            return _initial_lstm_state(x, config.width)
        return finish_state(x, config)


class PredictionHeads(hk.Module):
    """From a state to `Prediction`."""

    def __init__(self, config: NetworkConfig, policy_outputs: int, name: str):
        super().__init__(name=name)
        self._config = config
        self._policy_outputs = policy_outputs

    def __call__(self, state: jax.Array) -> Prediction:
        if self._config.dynamics == "lstm":
            state = _lstm_output(state)
        policy_logits = make_head(self._policy_outputs, self._config, "policy_head")(state)
        value_logits = make_head(self._config.value_support.num_bins, self._config, "value_head")(
            state
        )
        return Prediction(policy_logits, value_logits)


class _Dynamics(hk.Module):
    def __init__(self, config: NetworkConfig, num_actions: int, name: str):
        super().__init__(name=name)
        self._config = config
        self._num_actions = num_actions

    def __call__(self, state: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        config = self._config
        state = optax.scale_gradient(state, config.dynamics_gradient_scale)
        features = action_features(action, self._num_actions, state, config.action_encoding)
        next_state = transition(state, features, config, "action_input")
        reward = make_head(config.reward_support.num_bins, config, "reward_head")
        return next_state, reward(next_state)


def transition(
    state: jax.Array, features: jax.Array, config: NetworkConfig, name: str
) -> jax.Array:
    """Returns the state that follows, given what happens; of use within a module.

    Args:
      state: `[B, ..., width]`.
      features: what happens, `[B, ..., F]`; see `action_features`.
      config: of the networks.
      name: of the layer that takes both.
    """
    x = jnp.concatenate([state, features], axis=-1)
    x = state + layer(config.width, state.ndim == 4, name)(x)
    return finish_state(residual_blocks(x, config.dynamics_blocks), config)


class _LSTMDynamics(hk.Module):
    """An LSTM whose input is the action (Muesli, arXiv:2104.06159)."""

    def __init__(self, config: NetworkConfig, num_actions: int, name: str):
        super().__init__(name=name)
        self._config = config
        self._num_actions = num_actions

    def __call__(self, state: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps `[B, 2 width]` and actions to `[B, 2 width]` and logits `[B, bins]`."""
        config = self._config
        state = optax.scale_gradient(state, config.dynamics_gradient_scale)
        output, cell = jnp.split(state, 2, axis=-1)
        core = hk.LSTM(config.width)
        vector = _action_vector(action, self._num_actions, state.dtype)
        _, next_state = core(vector, hk.LSTMState(output, cell))
        reward = make_head(config.reward_support.num_bins, config, "reward_head")
        both = jnp.concatenate([next_state.hidden, next_state.cell], axis=-1)
        return both, reward(next_state.hidden)


def _initial_lstm_state(features: jax.Array, width: int) -> jax.Array:
    """Maps features `[B, ...]` to an LSTM's state `[B, 2 width]`, the output within ±1."""
    state = hk.Linear(2 * width, name="initial_state")(hk.Flatten()(jax.nn.relu(features)))
    output, cell = jnp.split(state, 2, axis=-1)
    return jnp.concatenate([jnp.tanh(output), cell], axis=-1)


def _lstm_output(state: jax.Array) -> jax.Array:
    """The output half `[B, width]` of an LSTM's state `[B, 2 width]`."""
    return jnp.split(state, 2, axis=-1)[0]


def make_head(num_outputs: int, config: NetworkConfig, name: str) -> Head:
    """Makes a head as the config says."""
    return Head(num_outputs, config.head_channels, config.head_sizes, name)


def scale_state(state: jax.Array) -> jax.Array:
    """Scales each example to [0, 1]: `(s - min s) / (max s - min s)`.

    As in the paper (arXiv:1911.08265, appendix G) minimum and maximum are those of the
    whole state, all positions and channels together. A constant state becomes zero.
    """
    axes = tuple(range(1, state.ndim))
    low = jnp.min(state, axis=axes, keepdims=True)
    high = jnp.max(state, axis=axes, keepdims=True)
    return (state - low) / jnp.maximum(high - low, 1e-5)


def finish_state(x: jax.Array, config: NetworkConfig) -> jax.Array:
    """Scales a state if the config says so."""
    return scale_state(x) if config.scale_hidden_state else x


def _action_vector(action: jax.Array, num_actions: int, dtype: jnp.dtype) -> jax.Array:
    """Returns choices `[B]` as their one-hots `[B, A]`, vectors `[B, D]` as they take effect."""
    if jnp.issubdtype(action.dtype, jnp.floating):
        return jnp.clip(action, -1.0, 1.0).astype(dtype)
    return jax.nn.one_hot(action, num_actions, dtype=dtype)


def action_features(
    action: jax.Array, num_actions: int, state: jax.Array, encoding: str
) -> jax.Array:
    """Returns planes `[B, h, w, A or 1]` or vectors `[B, A]`, as the state asks."""
    vector = _action_vector(action, num_actions, state.dtype)
    if state.ndim == 2:
        return vector
    batch, height, width = state.shape[:3]
    if encoding == "cell":
        return vector[:, : height * width].reshape(batch, height, width, 1)
    if encoding == "column":
        return jnp.broadcast_to(vector[:, None, :, None], (batch, height, width, 1))
    return jnp.broadcast_to(vector[:, None, None, :], (batch, height, width, num_actions))
