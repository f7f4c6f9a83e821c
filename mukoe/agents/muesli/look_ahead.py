"""What Muesli asks of its actions, be they choices or vectors: see `discrete`, `continuous`."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, TypeVar

import chex
import jax
import jax.numpy as jnp
from dm_env import specs

from mukoe.networks.distributions import Distribution
from mukoe.networks.models import MuZeroNetworks
from mukoe.types import Array, Params, Row

PolicyT = TypeVar("PolicyT", bound=Distribution)


class LookAhead(NamedTuple):
    """What the target network says of rows `[B, S]`, one model step ahead.

    Its prior and `q(s, a) = r̂_1 + γ v̂_1` are known for `N` candidates of each row: all
    actions, or draws of the prior.

    values: `[B, S]` `v(s)`, the mean of `q` under the prior.
    taken_values: `[B, S]` `q(s, a)` of the actions that were taken.
    ratios: `[B, S]` `π_prior(a | s) / π_b(a | s)` of the actions that were taken.
    prior: `[B, S, N]` of the candidates; probabilities, or logarithms of densities.
    action_values: `[B, S, N]` `q` of the candidates.
    actions: `[B, S, N, D]` the candidates; None where they are all actions.
    """

    values: Array
    taken_values: Array
    ratios: Array
    prior: Array
    action_values: Array
    actions: Array | None = None


class PolicyTarget(NamedTuple):
    """π_CMPO as weighted actions: `KL(π_CMPO, π) = Σ_i w_i (log π_CMPO(a_i) - log π(a_i))`.

    weights: `[..., N]` `w_i`.
    log_probs: `[..., N]` `log π_CMPO(a_i)`, probabilities or densities.
    actions: `[..., N, D]` `a_i`; None where they are all actions.
    """

    weights: Array
    log_probs: Array
    actions: Array | None = None


class ActionSpace(Protocol[PolicyT]):
    """The parts of Muesli that know what an action is."""

    @property
    def extras_spec(self) -> Mapping[str, specs.Array]:
        """What is stored of the behaviour policy at each step."""

    def policy(self, outputs: Array, legal_actions: Array | None = None) -> PolicyT:
        """Makes the policies `[...]` of the outputs `[..., O]` of the policy head."""

    def stored(self, policy: PolicyT) -> Mapping[str, Array]:
        """Returns the extras that are stored of the policy that acted."""

    def behavior(self, extras: Mapping[str, Array]) -> PolicyT:
        """Returns the policy that acted, from the stored extras; anything on padding."""

    def random_actions(self, key: chex.PRNGKey, shape: tuple[int, ...]) -> jax.Array:
        """Draws actions uniformly."""

    def look_ahead(
        self, target_params: Params, rows: Row, inputs: Array, key: chex.PRNGKey
    ) -> LookAhead:
        """Looks one model step ahead of rows.

        Args:
          target_params: of the target network.
          rows: `[B, S, ...]` without history.
          inputs: `[B, S, ...]` network inputs.
          key: of drawn candidates.
        """

    def improve(self, look: LookAhead, scale: Array, key: chex.PRNGKey) -> PolicyTarget:
        """Returns π_CMPO, with advantages divided by `scale`; `key` is of drawn actions."""

    def log_probs(self, policy: PolicyT, target: PolicyTarget) -> jax.Array:
        """Returns `log π(a_i)`, `[..., N]`, of policies `[...]` at the actions of a target."""


def one_step_values(
    networks: MuZeroNetworks, params: Params, state: Array, actions: Array, discount: float
) -> jax.Array:
    """Returns `q(s, a) = r̂_1 + γ v̂_1` by one model step, `[N, M]`.

    Args:
      networks: the model.
      params: its parameters.
      state: `[M, ...]`.
      actions: `[N, M, ...]`, `N` for each state.
      discount: `γ`, negative where the next value is the opponent's.
    """

    def look(action: Array) -> Array:
        next_state, reward_logits = networks.dynamics(params, state, action)
        value_logits = networks.prediction(params, next_state).value_logits
        reward = networks.reward_encoding.to_scalar(reward_logits)
        return reward + discount * networks.value_encoding.to_scalar(value_logits)

    return jax.vmap(look)(actions)


def flat(array: Array) -> Array:
    """Merges batch and time: `[B, S, ...]` to `[B S, ...]`."""
    return jnp.reshape(array, (-1, *array.shape[2:]))
