"""The model of Stochastic MuZero as pure functions.

Antonoglou et al., ICLR 2022, section 4:

    s_0         = h(o_≤t)           representation
    p_k, v_k    = f(s_k)            prediction
    as_k        = φ(s_k, a_{t+k})   afterstate dynamics
    σ_k, Q_k    = ψ(as_k)           afterstate prediction
    c_{t+k+1}   = e(o_≤t+k+1)       encoder
    s_{k+1}, r_{k+1} = g(as_k, c_{t+k+1})   dynamics
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import chex
import haiku as hk
import jax
import jax.numpy as jnp
import optax
from dm_env import specs

from mukoe.agents.stochastic_muzero.config import ChanceConfig
from mukoe.errors import UserError
from mukoe.networks.action_encoding import action_features
from mukoe.networks.action_space import ActionSpace
from mukoe.networks.config import NetworkConfig
from mukoe.networks.dynamics import transition
from mukoe.networks.heads import make_head
from mukoe.networks.history import HistoryConfig, network_input_spec
from mukoe.networks.inputs import encode_input
from mukoe.networks.memory import (
    NO_MEMORY,
    InputMemory,
    MemoryConfig,
    behind_memory,
    make_memory,
    with_memory_params,
)
from mukoe.networks.models import REPRESENTATION, check_observations, encoded_action_space
from mukoe.networks.precision import in_precision, to_precision
from mukoe.networks.prediction import Prediction, PredictionHeads
from mukoe.networks.projection import Projection
from mukoe.networks.representation import Representation
from mukoe.networks.residual import layer_norm, residual_blocks
from mukoe.networks.torsos import TORSOS
from mukoe.networks.value_encoding import ValueEncoding
from mukoe.types import Array, EnvironmentSpec, Params

ENCODER = "encoder"
_EPSILON = 1e-6


class AfterstatePrediction(NamedTuple):
    """Prediction of an afterstate.

    chance_logits: `[B, M]` logits of the chance distribution `σ`.
    value_logits: `[B, bins]` logits of `Q`, the value of the state and the action before.
    """

    chance_logits: jax.Array
    value_logits: jax.Array


@dataclasses.dataclass(frozen=True)
class StochasticMuZeroNetworks:
    """Pure functions of one tree of parameters.

    init: `key -> params`.
    representation: `(params, network input [B, ...]) -> state`, `[B, h, w, width]` or
        `[B, width]`; afterstates have this shape too.
    prediction: `(params, state) -> Prediction`.
    afterstate_dynamics: `(params, state, action [B, ...]) -> afterstate`.
    afterstate_prediction: `(params, afterstate) -> AfterstatePrediction`.
    dynamics: `(params, afterstate, code [B, M]) -> (state, reward_logits [B, bins])`; the reward is
        that of the state, or of the afterstate, see `ChanceConfig.reward_input`.
    encoder: `(params, network input [B, ...] before, network input [B, ...] after) ->
        encoding [B, M]`, of length 1, see `straight_through`. It takes both observations because
        the second alone does not determine the outcome: in 2048, the new tile.
    value_encoding: encoding of `value_logits`.
    reward_encoding: encoding of `reward_logits`.
    action_space: policies of `policy_logits`, and the encoding of actions.
    codebook_size: number of codes `M`.
    projection: projector and predictor of a consistency loss; None without.
    memory: memory whose output is the network input of `representation` and `encoder`; None
        without one.
    num_players: None, for one value.
    """

    init: Callable[[chex.PRNGKey], Params]
    representation: Callable[[Params, jax.Array], jax.Array]
    prediction: Callable[[Params, jax.Array], Prediction]
    afterstate_dynamics: Callable[[Params, jax.Array, Array], jax.Array]
    afterstate_prediction: Callable[[Params, jax.Array], AfterstatePrediction]
    dynamics: Callable[[Params, jax.Array, Array], tuple[jax.Array, jax.Array]]
    encoder: Callable[[Params, jax.Array, jax.Array], jax.Array]
    value_encoding: ValueEncoding
    reward_encoding: ValueEncoding
    action_space: ActionSpace
    codebook_size: int
    projection: Projection | None = None
    memory: InputMemory | None = None
    num_players: int | None = None


def straight_through(encoding: Array) -> jax.Array:
    """Returns the codes `[..., M]`: the one-hot of the largest entry.

    Of all one-hots it is the nearest to the encoding, as in a VQ-VAE with a fixed codebook
    (paper, section 4). Its gradient is taken to be that of the encoding.
    """
    one_hot = jax.nn.one_hot(jnp.argmax(encoding, axis=-1), encoding.shape[-1])
    return one_hot + (encoding - jax.lax.stop_gradient(encoding))


def make_stochastic_muzero_networks(
    environment_spec: EnvironmentSpec,
    history_config: HistoryConfig,
    network_config: NetworkConfig,
    chance_config: ChanceConfig,
    continuous_actions: bool = False,
    memory_config: MemoryConfig = NO_MEMORY,
) -> StochasticMuZeroNetworks:
    """Builds the networks for an environment.

    The encoder is a representation function of its own, without sharing, and a linear layer.

    Args:
      environment_spec: spec of one environment, with single frames.
      history_config: history in the network input.
      network_config: configuration of the architecture.
      chance_config: number of codes, and input of the reward.
      continuous_actions: support of continuous actions in the agent.
      memory_config: memory in front of representation and encoder.

    Raises:
      UserError: the torso does not support the observations, or see `encoded_action_space`.
    """
    spec = network_input_spec(environment_spec, history_config)
    check_observations(network_config, spec)
    memory = make_memory(memory_config, network_config, spec, network_config.normalize_observations)
    if memory is not None:
        spec, network_config = memory.spec, behind_memory(network_config, memory)
    if not isinstance(spec, specs.Array):
        raise UserError(
            "Stochastic MuZero's encoder takes observations of one array, not of several parts; "
            "use MuZero, or set memory.core"
        )
    action_space = encoded_action_space(
        environment_spec, spec, history_config, network_config, continuous_actions
    )
    model = hk.without_apply_rng(
        hk.multi_transform(lambda: _model(network_config, spec, action_space, chance_config))
    )
    representation, prediction, afterstate, afterstate_prediction, dynamics, encoder = (
        in_precision(apply, network_config.precision, observes=index in (0, 5))
        for index, apply in enumerate(model.apply)
    )

    @jax.jit
    def init(key: chex.PRNGKey) -> Params:
        return model.init(key, jnp.zeros((1, *spec.shape), spec.dtype))

    return StochasticMuZeroNetworks(
        init=with_memory_params(init, memory),
        representation=representation,
        prediction=prediction,
        afterstate_dynamics=afterstate,
        afterstate_prediction=afterstate_prediction,
        dynamics=dynamics,
        encoder=encoder,
        value_encoding=ValueEncoding(network_config.value_support),
        reward_encoding=ValueEncoding(network_config.reward_support),
        action_space=action_space,
        codebook_size=chance_config.codebook_size,
        memory=memory,
    )


def _model(
    config: NetworkConfig, spec: specs.Array, action_space: ActionSpace, chance: ChanceConfig
):
    """Returns the arguments of `hk.multi_transform`: function for init, and the six functions."""
    representation = Representation(config, spec, name=REPRESENTATION)
    prediction = PredictionHeads(config, action_space.num_outputs, name="prediction")
    afterstate_dynamics = _AfterstateDynamics(config, action_space, name="afterstate_dynamics")
    afterstate_prediction = _AfterstateHeads(
        config, chance.codebook_size, name="afterstate_prediction"
    )
    dynamics = _Dynamics(config, chance, name="dynamics")
    encoder = _Encoder(config, spec, chance.codebook_size, name=ENCODER)

    def init(inputs: jax.Array) -> None:
        state = representation(inputs)
        prediction(state)
        spec = action_space.spec
        action = jnp.zeros((*inputs.shape[:1], *spec.shape), spec.dtype)
        afterstate = afterstate_dynamics(state, action)
        afterstate_prediction(afterstate)
        dynamics(afterstate, encoder(inputs, inputs))

    functions = (
        representation,
        prediction,
        afterstate_dynamics,
        afterstate_prediction,
        dynamics,
        encoder,
    )
    return init, functions


class _AfterstateDynamics(hk.Module):
    def __init__(self, config: NetworkConfig, action_space: ActionSpace, name: str):
        super().__init__(name=name)
        self._config = config
        self._action_space = action_space

    def __call__(self, state: jax.Array, action: jax.Array) -> jax.Array:
        config = self._config
        # Once per model step, as in MuZero: not again in the chance dynamics.
        state = optax.scale_gradient(state, config.dynamics_gradient_scale)
        features = action_features(action, self._action_space, state, config.action_encoding)
        return transition(state, features, config, "action_input")


class _AfterstateHeads(hk.Module):
    def __init__(self, config: NetworkConfig, codebook_size: int, name: str):
        super().__init__(name=name)
        self._config = config
        self._codebook_size = codebook_size

    def __call__(self, afterstate: jax.Array) -> AfterstatePrediction:
        config = self._config
        return AfterstatePrediction(
            make_head(self._codebook_size, config, "chance_head")(afterstate),
            make_head(config.value_support.num_bins, config, "value_head")(afterstate),
        )


class _Dynamics(hk.Module):
    def __init__(self, config: NetworkConfig, chance: ChanceConfig, name: str):
        super().__init__(name=name)
        self._config = config
        self._rewards_afterstates = chance.reward_input == "afterstate"

    def __call__(self, afterstate: jax.Array, code: jax.Array) -> tuple[jax.Array, jax.Array]:
        config = self._config
        features = code
        if afterstate.ndim == 4:
            planes = (*afterstate.shape[:3], code.shape[-1])
            features = jnp.broadcast_to(code[:, None, None, :], planes)
        state = transition(afterstate, features, config, "code_input")
        reward_head = make_head(config.reward_support.num_bins, config, "reward_head")
        return state, reward_head(afterstate if self._rewards_afterstates else state)


class _Encoder(hk.Module):
    def __init__(self, config: NetworkConfig, spec: specs.Array, codebook_size: int, name: str):
        super().__init__(name=name)
        self._config = config
        self._spec = spec
        self._codebook_size = codebook_size

    def __call__(self, before: jax.Array, after: jax.Array) -> jax.Array:
        config = self._config
        both = [encode_input(inputs, self._spec) for inputs in (before, after)]
        inputs = to_precision(jnp.concatenate(both, axis=-1), config.precision)
        torso = TORSOS[config.torso](config)
        x = residual_blocks(torso(inputs), config.representation_blocks)
        x = hk.Flatten()(jax.nn.relu(layer_norm(x)))
        # Not initialised with zeros, unlike other heads: every outcome would have the same code.
        encoding = hk.Linear(self._codebook_size, name="code")(x)
        # Normalised to the length of a code: with a small commitment weight the encoding would
        # grow without bound, and a saturated softmax has no gradient towards another code.
        length = jnp.sqrt(jnp.sum(encoding**2, axis=-1, keepdims=True) + _EPSILON)
        return encoding / length
