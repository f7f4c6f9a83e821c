"""The network of PPO: from an input to a policy and a value.

Weights begin orthogonal, biases at 0; the scale is √2 in front of a nonlinearity, 0.01 for
the policy and 1 for the value ([1] core 2).

[1] The 37 Implementation Details of PPO (Huang et al., ICLR blog track 2022).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import chex
import haiku as hk
import jax
import jax.numpy as jnp

from mukoe.agents.ppo.config import PPONetworkConfig
from mukoe.networks.distributions import (
    Distribution,
    GaussianConfig,
    categorical_policy,
    gaussian_policy,
)
from mukoe.networks.history import HistoryConfig, input_spec, scale_pixels
from mukoe.networks.models import continuous_size, count_actions
from mukoe.networks.torsos import IMAGE, TORSOS, Torso, check_input, orthogonal_linear
from mukoe.types import Array, EnvironmentSpec, Params, is_continuous, split_legal_actions


@dataclasses.dataclass(frozen=True)
class PPONetworks:
    """The network as pure functions.

    init: `key -> params`.
    apply: `(params, network input [N, ...]) -> (policy outputs [N, A], value [N])`; with
        continuous actions the outputs are `[N, 2 D]`.
    num_actions: number of actions `A`; with continuous actions `D`.
    gaussian: configuration of the continuous policy head; None for discrete actions.
    has_convolutions: presence of convolutions, whose gradients in a loop are slow on a CPU.
    """

    init: Callable[[chex.PRNGKey], Params]
    apply: Callable[[Params, Array], tuple[jax.Array, jax.Array]]
    num_actions: int
    gaussian: GaussianConfig | None
    has_convolutions: bool

    def policy(self, outputs: Array, legal_actions: Array | None = None) -> Distribution:
        """Returns the policies `[...]` of outputs `[..., A]` and legal actions `[..., A]`."""
        if self.gaussian is None:
            return categorical_policy(outputs, legal_actions)
        return gaussian_policy(outputs, self.gaussian)


def make_ppo_networks(
    environment_spec: EnvironmentSpec,
    history_config: HistoryConfig,
    network_config: PPONetworkConfig,
) -> PPONetworks:
    """Builds the network for an environment.

    Args:
      environment_spec: spec of one environment, with single frames.
      history_config: history in the network input.
      network_config: configuration of the architecture.

    Raises:
      UserError: the torso does not support the observations, or the actions are not supported.
    """
    features, _ = split_legal_actions(environment_spec.observations)
    spec = input_spec(features, history_config)
    check_input(network_config.torso, spec)
    continuous = is_continuous(environment_spec)
    if continuous:
        num_actions = continuous_size(environment_spec.actions)
    else:
        num_actions = count_actions(environment_spec)
    model: Any = hk.without_apply_rng(
        hk.transform(lambda x: _ActorCritic(network_config, num_actions, continuous)(x))
    )

    def init(key: chex.PRNGKey) -> Params:
        return model.init(key, jnp.zeros((1, *spec.shape), spec.dtype))

    return PPONetworks(
        init=init,
        apply=model.apply,
        num_actions=num_actions,
        gaussian=network_config.gaussian if continuous else None,
        has_convolutions=_is_shared(TORSOS[network_config.torso]),
    )


def _is_shared(torso: type[Torso]) -> bool:
    """Returns whether policy and value share a torso: one for images, but not one for vectors.

    [1] core 13, Atari 8.
    """
    return torso.input_rank == IMAGE


class _ActorCritic(hk.Module):
    def __init__(self, config: PPONetworkConfig, num_actions: int, continuous: bool):
        super().__init__(name="actor_critic")
        self._config = config
        self._num_actions = num_actions
        self._continuous = continuous

    def __call__(self, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = scale_pixels(inputs)
        if _is_shared(TORSOS[self._config.torso]):
            for_policy = for_value = self._convolutions(x)
        else:
            for_policy, for_value = self._tower(x, "policy"), self._tower(x, "value")
        outputs = orthogonal_linear(self._num_actions, 0.01, "policy_head")(for_policy)
        if self._continuous:
            deviation = hk.get_parameter("deviation", (self._num_actions,), init=jnp.zeros)
            outputs = jnp.concatenate([outputs, jnp.broadcast_to(deviation, outputs.shape)], -1)
        return outputs, orthogonal_linear(1, 1.0, "value_head")(for_value)[:, 0]

    # The names of these methods are part of the names of parameters.

    def _tower(self, x: jax.Array, name: str) -> jax.Array:
        return TORSOS[self._config.torso](self._config, name)(x)

    def _convolutions(self, x: jax.Array) -> jax.Array:
        return jax.nn.relu(TORSOS[self._config.torso](self._config)(x))
