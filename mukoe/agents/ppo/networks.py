"""Network of PPO: from an input to a policy and a value.

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
from dm_env import specs

from mukoe.agents.ppo.config import PPONetworkConfig
from mukoe.nests import zeros
from mukoe.networks.action_space import (
    ActionSpace,
    make_action_space,
)
from mukoe.networks.distributions import Distribution
from mukoe.networks.history import HistoryConfig, network_input_spec
from mukoe.networks.inputs import check_inputs, encode_input, has_convolutions
from mukoe.networks.memory import (
    NO_MEMORY,
    InputMemory,
    MemoryConfig,
    behind_memory,
    make_memory,
    with_memory_params,
)
from mukoe.networks.novelty import Novelty
from mukoe.networks.observation_statistics import NormalizedInput, check_vector
from mukoe.networks.parts import PartsTorso
from mukoe.networks.precision import in_precision, to_precision
from mukoe.networks.torso import IMAGE
from mukoe.networks.torsos import TORSOS, orthogonal_linear
from mukoe.types import Array, EnvironmentSpec, Nest, Params


@dataclasses.dataclass(frozen=True)
class PPONetworks:
    """Network as pure functions.

    init: `key -> params`.
    apply: `(params, network input [N, ...]) -> (policy outputs [N, A], value [N])`; with
        continuous actions the outputs are `[N, 2 D]`.
    action_space: policies of the outputs.
    has_convolutions: presence of convolutions, whose gradient within a loop is slow on CPUs.
    novelty: networks of novelty; None without.
    memory: memory whose output is the network input of `apply`; None without.
    """

    init: Callable[[chex.PRNGKey], Params]
    apply: Callable[[Params, Nest], tuple[jax.Array, jax.Array]]
    action_space: ActionSpace
    has_convolutions: bool
    novelty: Novelty | None = None
    memory: InputMemory | None = None

    def policy(self, outputs: Array, legal_actions: Array | None = None) -> Distribution:
        """Returns the policies `[...]` of outputs `[..., A]` and legal actions `[..., A]`."""
        return self.action_space.policy(outputs, legal_actions)


def make_ppo_networks(
    environment_spec: EnvironmentSpec,
    history_config: HistoryConfig,
    network_config: PPONetworkConfig,
    memory_config: MemoryConfig = NO_MEMORY,
) -> PPONetworks:
    """Builds the network for an environment.

    Args:
      environment_spec: spec with observations of one frame; of a `MaskedObservation` the
        features count.
      history_config: past frames and actions in the network input.
      network_config: architecture.
      memory_config: memory in front of the network.

    Raises:
      UserError: the torso does not support the observations, or the actions are not supported.
    """
    spec = network_input_spec(environment_spec, history_config)
    check_inputs(network_config.torso, network_config.parts.torsos, spec)
    if network_config.normalize_observations:
        check_vector(spec)
    convolutions = has_convolutions(network_config.torso, network_config.parts.torsos, spec)
    memory = make_memory(memory_config, network_config, spec, network_config.normalize_observations)
    if memory is not None:
        spec, network_config = memory.spec, behind_memory(network_config, memory)
    action_space = make_action_space(environment_spec, network_config.gaussian)
    model: Any = hk.without_apply_rng(
        hk.transform(lambda x: _ActorCritic(network_config, spec, action_space)(x))
    )

    @jax.jit
    def init(key: chex.PRNGKey) -> Params:
        return model.init(key, zeros(spec, 1))

    return PPONetworks(
        init=with_memory_params(init, memory),
        apply=in_precision(model.apply, network_config.precision, observes=True),
        action_space=action_space,
        has_convolutions=convolutions,
        memory=memory,
    )


def _is_shared(config: PPONetworkConfig, spec: Nest) -> bool:
    """Returns whether policy and value share a torso: one for images, but not one for vectors.

    Observations of several parts share it, too. [1] core 13, Atari 8.
    """
    return not isinstance(spec, specs.Array) or TORSOS[config.torso].input_rank == IMAGE


class _ActorCritic(hk.Module):
    def __init__(self, config: PPONetworkConfig, spec: Nest, action_space: ActionSpace):
        super().__init__(name="actor_critic")
        self._config = config
        self._spec = spec
        self._action_space = action_space

    def __call__(self, inputs: Nest) -> tuple[jax.Array, jax.Array]:
        if not isinstance(self._spec, specs.Array):
            parts = PartsTorso(self._config, self._spec)(inputs)
            for_policy = for_value = jax.nn.relu(parts)
        elif _is_shared(self._config, self._spec):
            x = to_precision(encode_input(inputs, self._spec), self._config.precision)
            for_policy = for_value = self._convolutions(x)
        else:
            x = encode_input(inputs, self._spec)
            if self._config.normalize_observations:
                x = NormalizedInput()(x)
            x = to_precision(x, self._config.precision)
            for_policy, for_value = self._tower(x, "policy"), self._tower(x, "value")
        size = self._action_space.size
        outputs = orthogonal_linear(size, 0.01, "policy_head")(for_policy)
        if num_deviations := self._action_space.num_outputs - size:
            # The standard deviation does not depend on the state.
            deviation = hk.get_parameter("deviation", (num_deviations,), init=jnp.zeros)
            deviations = jnp.broadcast_to(deviation, (*outputs.shape[:-1], num_deviations))
            outputs = jnp.concatenate([outputs, deviations], axis=-1)
        return outputs, orthogonal_linear(1, 1.0, "value_head")(for_value)[:, 0]

    # The names of these methods are part of the names of parameters.

    def _tower(self, x: jax.Array, name: str) -> jax.Array:
        return TORSOS[self._config.torso](self._config, name)(x)

    def _convolutions(self, x: jax.Array) -> jax.Array:
        return hk.Flatten()(jax.nn.relu(TORSOS[self._config.torso](self._config)(x)))
