"""Action spaces: policies over actions, and actions as inputs of a network."""

import dataclasses
from typing import Protocol

import chex
import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from mukoe.errors import UserError
from mukoe.networks.distributions import (
    Distribution,
    Gaussian,
    GaussianConfig,
    TanhGaussian,
    categorical_policy,
    gaussian_policy,
)
from mukoe.types import Array, EnvironmentSpec, PerAction, is_continuous


class ActionSpace(Protocol):
    """Actions of one environment: a product of discrete and bounded continuous parts.

    A policy over a product is the product of the policies over its parts, so that log-probabilities
    and entropies add up; its encoding concatenates those of its parts. Spaces of one part are
    implemented, `DiscreteSpace` and `BoxSpace`.

    spec: shape and type of one action.
    size: length `E` of an encoded action: `A` choices, or `D` numbers.
    num_outputs: number of outputs of a policy head.
    """

    @property
    def spec(self) -> specs.Array: ...
    @property
    def size(self) -> int: ...
    @property
    def num_outputs(self) -> int: ...

    def policy(self, outputs: Array, legal_actions: PerAction | None = None) -> Distribution:
        """Returns policies with `log_prob`, `sample`, `entropy` and `mode`.

        Args:
          outputs: `[..., num_outputs]` outputs of a policy head.
          legal_actions: `[..., A]` bool mask of a discrete space, or None if all are legal.
        """
        ...

    def encode(self, action: Array, dtype: jnp.dtype | type = jnp.float32) -> jax.Array:
        """Returns actions `[...]` as vectors `[..., E]`, inputs of the dynamics."""
        ...

    def uniform(self, key: chex.PRNGKey, shape: tuple[int, ...]) -> jax.Array:
        """Draws actions of uniform probability, or density."""
        ...

    @property
    def num_choices(self) -> int | None:
        """Number of different actions; None with continuous parts."""
        ...

    def all_actions(self) -> jax.Array:
        """Returns all `num_choices` actions."""
        ...


@dataclasses.dataclass(frozen=True)
class DiscreteSpace:
    """`A` choices, encoded one-hot, with a categorical policy of logits `[..., A]`.

    size: `A`.
    """

    size: int

    @property
    def spec(self) -> specs.Array:
        return specs.Array((), np.int32, "action")

    @property
    def num_outputs(self) -> int:
        return self.size

    def policy(self, outputs: Array, legal_actions: PerAction | None = None) -> Distribution:
        return categorical_policy(outputs, legal_actions)

    def encode(self, action: Array, dtype: jnp.dtype | type = jnp.float32) -> jax.Array:
        return jax.nn.one_hot(action, self.size, dtype=dtype)

    def uniform(self, key: chex.PRNGKey, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.randint(key, shape, 0, self.size)

    @property
    def num_choices(self) -> int:
        return self.size

    def all_actions(self) -> jax.Array:
        return jnp.arange(self.size, dtype=jnp.int32)


@dataclasses.dataclass(frozen=True)
class BoxSpace:
    """Vectors in [-1, 1], with a Gaussian policy of outputs `[..., 2 D]`.

    Actions are encoded by their values, clipped to the bounds as the environment does.

    size: `D`, length of an action.
    gaussian: policy head.
    """

    size: int
    gaussian: GaussianConfig

    @property
    def spec(self) -> specs.Array:
        return specs.Array((self.size,), np.float32, "action")

    @property
    def num_outputs(self) -> int:
        return 2 * self.size

    def policy(
        self, outputs: Array, legal_actions: PerAction | None = None
    ) -> Gaussian | TanhGaussian:
        assert legal_actions is None, "continuous actions are always legal"
        return gaussian_policy(outputs, self.gaussian)

    def encode(self, action: Array, dtype: jnp.dtype | type = jnp.float32) -> jax.Array:
        return jnp.clip(action, -1.0, 1.0).astype(dtype)

    def uniform(self, key: chex.PRNGKey, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.uniform(key, (*shape, self.size), minval=-1.0)

    @property
    def num_choices(self) -> None:
        return None

    def all_actions(self) -> jax.Array:
        raise NotImplementedError("there are infinitely many continuous actions")


def make_action_space(
    environment_spec: EnvironmentSpec, gaussian: GaussianConfig | None
) -> DiscreteSpace | BoxSpace:
    """Returns the action space of an environment.

    Args:
      environment_spec: spec of the environment.
      gaussian: policy head of continuous actions; None for agents with discrete actions only.

    Raises:
      UserError: actions are continuous and the agent takes none, or they are not one vector with
        bounds -1 and 1.
    """
    actions = environment_spec.actions
    if not is_continuous(environment_spec):
        return DiscreteSpace(int(actions.num_values))
    if gaussian is None:
        raise UserError(
            "this agent needs Discrete actions, and the environment's are vectors of "
            f"{actions.shape[0]} real numbers; Muesli takes them, and MuZero with "
            "agent.search.num_candidates > 0"
        )
    if len(actions.shape) != 1 or (actions.minimum != -1).any() or (actions.maximum != 1).any():
        raise UserError(
            f"continuous actions must be one vector with bounds -1 and 1, not {actions!r}; scale "
            "them in the environment"
        )
    return BoxSpace(int(actions.shape[0]), gaussian)
