"""Checks of environments; each error is one line: environment, expected and received value."""

import logging
import math
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

import dm_env
import numpy as np
import tree
from dm_env import specs

from mukoe.environments.spec_checks import (
    LARGEST,
    check_spec,
    field_names,
    find_too_large,
    fits,
    has_no_legal_action,
    limits_of,
    narrow,
)
from mukoe.errors import UserError
from mukoe.types import EnvironmentSpec, Nest

_LOGGER = logging.getLogger(__name__)


class EnvironmentFailedError(RuntimeError):
    """Failure of an environment's `reset` or `step`; its own exception is the cause."""


def call(where: str, environment: dm_env.Environment, method: str, *arguments: Any) -> Any:
    """Calls `reset` or `step` of an environment.

    Args:
      where: name of the environment for error messages.
      environment: environment to call.
      method: name of the method, `reset` or `step`.
      *arguments: arguments of the method.

    Raises:
      UserError: the environment violates the contract of its adapter.
      EnvironmentFailedError: the method raised an error or did not return a `dm_env.TimeStep`.
    """
    try:
        timestep = getattr(environment, method)(*arguments)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    except Exception as error:  # any error of the user's environment
        text = " ".join(str(error).split())
        raise EnvironmentFailedError(
            f"{where}: {method}() raised {type(error).__name__}: {text}"
        ) from error
    if not isinstance(timestep, dm_env.TimeStep):
        raise EnvironmentFailedError(
            f"{where}: {method}() must return a dm_env.TimeStep; got {type(timestep).__name__}"
        )
    return timestep


class Closeable(Protocol):
    """Environment of any interface."""

    def close(self) -> None:
        """Closes the environment."""


def close(where: str, environment: Closeable) -> None:
    """Closes an environment, and warns if that raises an error.

    Args:
      where: name of the environment for the warning.
      environment: environment to close.
    """
    try:
        environment.close()
    except Exception as error:  # any error of the user's environment
        text = " ".join(str(error).split())
        _LOGGER.warning(f"{where}: close() raised {type(error).__name__}: {text}")


def find_not_finite(batch: np.ndarray) -> tuple[int, float] | None:
    """Returns the batch index and the value of the first NaN or infinity in `[B, ...]`, or None."""
    finite = np.isfinite(batch)
    if finite.all():
        return None
    index = int(np.argwhere(~finite)[0][0])
    return index, float(batch[index][~finite[index]].flat[0])


class SpecChecker:
    """Checks the actions and time steps of a vector of environments against their spec.

    All methods raise a UserError that names the environment and the field.
    """

    def __init__(self, spec: EnvironmentSpec, num_envs: int, name: str):
        """Initialises the checker.

        Args:
          spec: specs of one environment.
          num_envs: number of environments `B`.
          name: environment name for error messages.

        Raises:
          UserError: the specs are not supported; see `check_spec`.
        """
        check_spec(spec, name)
        self._spec = spec
        self._num_envs = num_envs
        self._name = name
        self._names = [f"{name}, environment {index} of the vector" for index in range(num_envs)]
        self._fields = field_names(spec.observations)
        self._leaf_specs = tree.flatten(spec.observations)
        self._discount_bounds = _bounds(spec.discounts)

    def where(self, index: int) -> str:
        """Returns the name of one environment for error messages."""
        return self._names[index]

    def check_same_spec(self, index: int, other: EnvironmentSpec) -> None:
        """Checks that the specs of an environment equal those of the vector."""
        try:
            same = tree.map_structure(_same_array, self._spec, other)
        except (TypeError, ValueError):
            same = [False]
        if not all(tree.flatten(same)):
            self._fail(
                index,
                "all environments of a vector need equal specs; "
                f"expected {self._spec}, got {other}",
            )

    def check_actions(self, actions: np.ndarray, ignored: Sequence[bool]) -> np.ndarray:
        """Returns the actions in the dtype of the spec; continuous ones clipped to the bounds.

        Args:
          actions: `[B]` integers or `[B, D]` floats.
          ignored: `B` flags, True where the value of the action is not checked.
        """
        if isinstance(self._spec.actions, specs.DiscreteArray):
            return self._check_discrete(actions, ignored)
        return self._check_continuous(actions, ignored)

    def check_first(self, index: int, timestep: dm_env.TimeStep) -> None:
        """Checks the result of `reset`: step type and observation, with bounds and field names."""
        if not timestep.first():
            self._fail(index, f"reset() must return a FIRST step; got {timestep.step_type!r}")
        self._check_arrays(index, timestep.observation)
        self._check_values(index, timestep.observation)
        self._check_mask(index, timestep.observation)

    def check_step(self, index: int, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
        """Checks the result of `step`, and returns it with reward and discount as floats."""
        step_type, reward, discount, observation = timestep
        if step_type == dm_env.StepType.FIRST:
            self._fail(index, "step() must end an episode with LAST before it returns FIRST")
        if step_type not in (dm_env.StepType.MID, dm_env.StepType.LAST):
            self._fail(index, f"step_type must be MID or LAST; got {step_type!r}")
        self._check_arrays(index, observation)
        if step_type == dm_env.StepType.MID:
            self._check_mask(index, observation)
        reward = self._check_scalar(index, "reward", reward)
        discount = self._check_scalar(index, "discount", discount)
        low, high = self._discount_bounds
        if not low <= discount <= high:
            self._fail(index, f"discount must be from {low:g} to {high:g}; got {discount:g}")
        return dm_env.TimeStep(step_type, reward, discount, observation)

    def narrow(self, observation: Nest) -> Nest:
        """Returns a batched observation `[B, ...]` with at most 32 bits per number.

        Raises:
          UserError: a number is not finite or does not fit.
        """
        leaves = tree.flatten(observation)
        fields = zip(self._fields, leaves, strict=True)
        return tree.unflatten_as(observation, [self._narrow(*field) for field in fields])

    def _narrow(self, field: str, batch: np.ndarray) -> np.ndarray:
        if fits(batch):
            return narrow(batch)
        where = f"observation field '{field}'"
        if batch.dtype.kind == "f" and (found := find_not_finite(batch)):
            index, value = found
            self._fail(index, f"{where} must be finite; got {value}")
        if found := find_too_large(batch):
            index, value = found
            low, high = limits_of(batch.dtype)
            self._fail(
                index, f"{where} must be from {low:g} to {high:g}; got {value}; scale or clip it"
            )
        return narrow(batch)

    def _check_discrete(self, actions: np.ndarray, ignored: Sequence[bool]) -> np.ndarray:
        count = self._spec.actions.num_values
        if actions.shape != (self._num_envs,) or actions.dtype.kind not in "iu":
            raise UserError(
                f"{self._name}: actions must be {self._num_envs} integers; "
                f"got shape {actions.shape}, dtype {actions.dtype}"
            )
        for index in np.flatnonzero((actions < 0) | (actions >= count)):
            if not ignored[index]:
                self._fail(index, f"action must be in 0..{count - 1}; got {actions[index]}")
        return actions.astype(self._spec.actions.dtype)

    def _check_continuous(self, actions: np.ndarray, ignored: Sequence[bool]) -> np.ndarray:
        spec = self._spec.actions
        if actions.shape != (self._num_envs, *spec.shape) or actions.dtype.kind != "f":
            raise UserError(
                f"{self._name}: actions must be floats {[self._num_envs, *spec.shape]}; "
                f"got shape {actions.shape}, dtype {actions.dtype}"
            )
        for index, (action, is_ignored) in enumerate(zip(actions, ignored, strict=True)):
            if not is_ignored and not np.isfinite(action).all():
                self._fail(index, f"action must be finite; got {action}")
        return np.clip(actions, spec.minimum, spec.maximum).astype(spec.dtype)

    def _check_arrays(self, index: int, observation: Nest) -> None:
        leaves = tree.flatten(observation)
        if len(leaves) != len(self._fields):
            self._fail(index, f"observation needs {len(self._fields)} arrays; got {len(leaves)}")
        for field, spec, leaf in zip(self._fields, self._leaf_specs, leaves, strict=True):
            shape, dtype = getattr(leaf, "shape", None), getattr(leaf, "dtype", type(leaf))
            if shape != spec.shape or dtype != spec.dtype:
                self._fail(
                    index,
                    f"observation field '{field}' must have shape {spec.shape}, "
                    f"dtype {spec.dtype}; got shape {shape}, dtype {dtype}",
                )

    def _check_values(self, index: int, observation: Nest) -> None:
        fields = field_names(observation)
        if fields != self._fields:
            self._fail(index, f"the observation must have the fields {self._fields}; got {fields}")
        leaves = tree.flatten(observation)
        for field, spec, leaf in zip(self._fields, self._leaf_specs, leaves, strict=True):
            try:
                spec.validate(leaf)
            except ValueError as error:
                self._fail(index, f"observation field '{field}': {' '.join(str(error).split())}")

    def _check_mask(self, index: int, observation: Nest) -> None:
        if has_no_legal_action(observation):
            self._fail(index, "no action is legal, and the episode has not ended")

    def _check_scalar(self, index: int, field: str, value: object) -> float:
        if type(value) is float and abs(value) <= LARGEST:
            return value
        array = np.asarray(value)
        if array.shape != () or array.dtype.kind not in "fiub" or not math.isfinite(array):
            self._fail(index, f"{field} must be one finite number; got {value!r}")
        if abs(array) > LARGEST:
            self._fail(
                index, f"{field} must be from {-LARGEST:g} to {LARGEST:g}; got {value!r}; scale it"
            )
        return float(array)

    def _fail(self, index: int, message: str) -> NoReturn:
        raise UserError(f"{self.where(index)}: {message}")


def _bounds(spec: specs.Array) -> tuple[float, float]:
    """Returns the least and the greatest value of a scalar."""
    if not isinstance(spec, specs.BoundedArray):
        return -math.inf, math.inf
    return float(np.min(spec.minimum)), float(np.max(spec.maximum))


def _same_array(left: specs.Array, right: specs.Array) -> bool:
    return (
        left.shape == right.shape
        and left.dtype == right.dtype
        and getattr(left, "num_values", None) == getattr(right, "num_values", None)
        and getattr(left, "choices", None) == getattr(right, "choices", None)
    )
