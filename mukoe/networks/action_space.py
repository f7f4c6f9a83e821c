"""Action spaces: policies over actions, and actions as inputs of a network."""

import dataclasses
import math
from typing import Protocol

import chex
import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from mukoe.errors import UserError
from mukoe.networks.distributions import (
    Categorical,
    Distribution,
    Gaussian,
    GaussianConfig,
    Product,
    TanhGaussian,
    categorical_policy,
    gaussian_policy,
)
from mukoe.types import Array, EnvironmentSpec, PerAction, ProductArray, is_continuous


class ActionSpace(Protocol):
    """Actions of one environment: a product of discrete and bounded continuous parts.

    A policy over a product is the product of the policies over its parts, so that log-probabilities
    and entropies add up; its encoding concatenates those of its parts. `DiscreteSpace` and
    `BoxSpace` have one part, a `ProductSpace` several.

    spec: shape and type of one action.
    size: length `E` of an encoded action: `A` choices, or `D` numbers.
    num_outputs: number of outputs of a policy head: `E`, then the `D` standard deviations.
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


@dataclasses.dataclass(frozen=True)
class ProductSpace:
    """Vectors `[P]` of choices and of numbers in [-1, 1], with a policy head per part.

    The encoding has the one-hot vectors of the choices, then the numbers.

    choices: number of choices of each entry; 0 for a number.
    gaussian: policy head of the numbers.
    """

    choices: tuple[int, ...]
    gaussian: GaussianConfig

    @property
    def spec(self) -> specs.Array:
        return specs.Array((len(self.choices),), np.float32, "action")

    @property
    def size(self) -> int:
        return sum(self._counts) + self._num_numbers

    @property
    def num_outputs(self) -> int:
        return self.size + self._num_numbers

    def policy(self, outputs: Array, legal_actions: PerAction | None = None) -> Product:
        assert legal_actions is None, "actions of several parts are always legal"
        *logits, numbers = jnp.split(outputs, np.cumsum(self._counts), axis=-1)
        return Product(
            choices=tuple(map(Categorical, logits)),
            numbers=gaussian_policy(numbers, self.gaussian) if self._num_numbers else None,
            is_choice=tuple(count > 0 for count in self.choices),
        )

    def encode(self, action: Array, dtype: jnp.dtype | type = jnp.float32) -> jax.Array:
        parts = [
            jax.nn.one_hot(jnp.round(action[..., entry]).astype(jnp.int32), count, dtype=dtype)
            for entry, count in enumerate(self.choices)
            if count
        ]
        numbers = [entry for entry, count in enumerate(self.choices) if not count]
        clipped = jnp.clip(action[..., np.array(numbers, int)], -1.0, 1.0)
        return jnp.concatenate([*parts, clipped.astype(dtype)], axis=-1)

    def uniform(self, key: chex.PRNGKey, shape: tuple[int, ...]) -> jax.Array:
        drawn = jax.random.uniform(key, (*shape, len(self.choices)))
        choices = jnp.asarray(self.choices)
        return jnp.where(choices > 0, jnp.floor(drawn * choices), 2.0 * drawn - 1.0)

    @property
    def num_choices(self) -> int | None:
        return None if self._num_numbers else math.prod(self.choices)

    def all_actions(self) -> jax.Array:
        ranges = [np.arange(count) for count in self.choices]
        grid = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1)
        return jnp.asarray(grid.reshape(-1, len(ranges)), jnp.float32)

    @property
    def _counts(self) -> list[int]:
        """Numbers of choices, without the entries that are numbers."""
        return [count for count in self.choices if count]

    @property
    def _num_numbers(self) -> int:
        return self.choices.count(0)


def make_action_space(
    environment_spec: EnvironmentSpec, gaussian: GaussianConfig | None
) -> DiscreteSpace | BoxSpace | ProductSpace:
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
        kind = "choices and numbers" if isinstance(actions, ProductArray) else "real numbers"
        raise UserError(
            "this agent needs Discrete actions, and the environment's are vectors of "
            f"{actions.shape[0]} {kind}; Muesli and PPO take them, and MuZero and Stochastic "
            "MuZero with agent.search.num_candidates > 0"
        )
    if isinstance(actions, ProductArray):
        return ProductSpace(actions.choices, gaussian)
    if len(actions.shape) != 1 or (actions.minimum != -1).any() or (actions.maximum != 1).any():
        raise UserError(
            f"continuous actions must be one vector with bounds -1 and 1, not {actions!r}; scale "
            "them in the environment"
        )
    return BoxSpace(int(actions.shape[0]), gaussian)
