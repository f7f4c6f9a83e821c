"""Interface of Muesli's action spaces, see `discrete` and `sampled`."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, TypeVar

import chex
import jax
from dm_env import specs

from mukoe.networks.action_space import ActionSpace
from mukoe.networks.distributions import Distribution
from mukoe.networks.models import MuZeroNetworks
from mukoe.types import Array, Nest, Params, Row

PolicyT = TypeVar("PolicyT", bound=Distribution)


class LookAhead(NamedTuple):
    """Estimates of the target network for rows `[B, S]`, one model step ahead.

    Prior and `q(s, a) = r̂_1 + γ v̂_1` are given for `N` candidates of each row: all actions, or
    samples of the prior.

    values: `[B, S]` `v(s)`, mean of `q` under the prior.
    taken_values: `[B, S]` `q(s, a)` of the stored actions.
    ratios: `[B, S]` `π_prior(a | s) / π_b(a | s)` of the stored actions.
    prior: `[B, S, N]` prior of the candidates; probabilities, or logarithms of densities.
    action_values: `[B, S, N]` `q` of the candidates.
    actions: `[B, S, N, D]` candidates; None if they are all actions.
    """

    values: Array
    taken_values: Array
    ratios: Array
    prior: Array
    action_values: Array
    actions: Array | None = None


class PolicyTarget(NamedTuple):
    """π_CMPO as weighted actions: `KL(π_CMPO, π) = Σ_i w_i (log π_CMPO(a_i) - log π(a_i))`.

    weights: `[..., N]` weights `w_i`.
    log_probs: `[..., N]` `log π_CMPO(a_i)`, of probabilities or densities.
    actions: `[..., N, D]` actions `a_i`; None if they are all actions.
    """

    weights: Array
    log_probs: Array
    actions: Array | None = None


class MuesliActions(Protocol[PolicyT]):
    """Parts of Muesli that depend on the kind of actions."""

    @property
    def extras_spec(self) -> Mapping[str, specs.Array]:
        """Specs of the stored extras, which describe the behaviour policy of a step."""

    @property
    def space(self) -> ActionSpace:
        """Actions of the environment."""

    def policy(self, outputs: Array, legal_actions: Array | None = None) -> PolicyT:
        """Returns the policies `[...]` of the outputs `[..., O]` of the policy head."""

    def stored(self, policy: PolicyT) -> Mapping[str, Array]:
        """Returns the stored extras of a behaviour policy."""

    def behavior(self, extras: Mapping[str, Array]) -> PolicyT:
        """Returns the behaviour policy of stored extras; arbitrary on padding."""

    def look_ahead(
        self, target_params: Params, rows: Row, inputs: Nest, key: chex.PRNGKey
    ) -> LookAhead:
        """Estimates prior and action values of rows by one model step.

        Args:
          target_params: parameters of the target network.
          rows: `[B, S, ...]` rows without history.
          inputs: `[B, S, ...]` network inputs.
          key: random key of sampled candidates.
        """

    def improve(self, look: LookAhead, scale: Array, key: chex.PRNGKey) -> PolicyTarget:
        """Returns π_CMPO, with advantages divided by `scale`; `key` samples actions."""

    def log_probs(self, policy: PolicyT, target: PolicyTarget) -> jax.Array:
        """Returns `log π(a_i)`, `[..., N]`, of policies `[...]` at the actions of a target."""


def one_step_values(
    networks: MuZeroNetworks, params: Params, state: Array, actions: Array, discount: float
) -> jax.Array:
    """Returns `q(s, a) = r̂_1 + γ v̂_1` by one model step, `[N, M]`.

    Args:
      networks: networks of the model.
      params: parameters of the model.
      state: `[M, ...]` states.
      actions: `[N, M, ...]` actions, `N` per state.
      discount: discount `γ`, negative if the next value is the opponent's.
    """

    def look(action: Array) -> Array:
        next_state, reward_logits = networks.dynamics(params, state, action)
        value_logits = networks.prediction(params, next_state).value_logits
        reward = networks.reward_encoding.to_scalar(reward_logits)
        return reward + discount * networks.value_encoding.to_scalar(value_logits)

    return jax.vmap(look)(actions)
