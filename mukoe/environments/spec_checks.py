"""Checks of an environment's specs, made once where the environment enters."""

import math
from typing import Any, NoReturn

import numpy as np
import tree
from dm_env import specs

from mukoe.errors import UserError
from mukoe.types import EnvironmentSpec, MaskedObservation, Nest, split_legal_actions

MAX_ACTIONS = 10_000
"""Maximum number of discrete actions: each action is an output of a network."""

LARGEST = 1e18
"""Greatest magnitude of a float: normalisation and losses square it in float32."""

# JAX computes in 32 bits.
_NARROW: dict[np.dtype, np.dtype] = {
    np.dtype(np.float64): np.dtype(np.float32),
    np.dtype(np.longdouble): np.dtype(np.float32),
    np.dtype(np.int64): np.dtype(np.int32),
    np.dtype(np.uint64): np.dtype(np.uint32),
}


def check_spec(spec: EnvironmentSpec, name: str) -> None:
    """Checks that agents support the specs of an environment.

    Args:
      spec: specs of one environment.
      name: environment name for error messages.

    Raises:
      UserError: actions are neither discrete nor vectors of float32; the observation is empty or
        has an array that is empty or not of numbers; an observation of one array is a scalar; the
        legal-action mask does not fit the actions; or the reward is neither a scalar nor a vector
        with a component for each of three and more players.
    """
    _check_actions(spec.actions, name)
    features, legal_actions = split_legal_actions(spec.observations)
    _check_observations(features, name)
    if legal_actions is not None:
        _check_mask(legal_actions, spec.actions, name)
    _check_rewards(spec, name)


def check_scalar_rewards(spec: EnvironmentSpec, agent: str) -> None:
    """Checks that rewards are numbers, for agents without values for each player.

    Args:
      spec: specs of one environment.
      agent: name of the agent for the error message.

    Raises:
      UserError: rewards are vectors of three and more players.
    """
    if spec.rewards.shape:
        raise UserError(
            f"{agent} learns games of one player or two, and this one has "
            f"{spec.rewards.shape[0]} players: train MuZero or AlphaZero on it"
        )


def narrow_spec(spec: EnvironmentSpec) -> EnvironmentSpec:
    """Returns the specs with observations of at most 32 bits per number."""
    return spec._replace(observations=tree.map_structure(_narrow_array, spec.observations))


def narrow(batch: np.ndarray) -> np.ndarray:
    """Returns an array with at most 32 bits per number; see `find_too_large`."""
    return batch.astype(narrow_type(batch.dtype), copy=False)


def fits(batch: np.ndarray) -> bool:
    """Returns True if networks can take all numbers of an array; NaN and infinity do not fit."""
    if batch.dtype.kind != "f" and narrow_type(batch.dtype) == batch.dtype:
        return True
    low, high = limits_of(batch.dtype)
    return batch.size == 0 or (low <= batch.min().item() and batch.max().item() <= high)


def find_too_large(batch: np.ndarray) -> tuple[int, Any] | None:
    """Returns the batch index and the value of a number in `[B, ...]` that networks cannot take.

    This is an integer beyond 32 bits, or a finite float beyond `LARGEST`. None without such a
    number.
    """
    is_wide_float = batch.dtype.kind == "f" and batch.dtype.itemsize >= 4
    if not is_wide_float and narrow_type(batch.dtype) == batch.dtype:
        return None
    low, high = limits_of(batch.dtype)
    outside = (batch < low) | (batch > high)
    if not outside.any():
        return None
    index = int(np.argwhere(outside)[0][0])
    return index, batch[index][outside[index]].flat[0]


def limits_of(dtype: np.dtype) -> tuple[float, float]:
    """Returns the least and the greatest number that networks take."""
    if dtype.kind == "f":
        return -LARGEST, LARGEST
    limits = np.iinfo(str(narrow_type(dtype)))
    return limits.min, limits.max


def narrow_type(dtype: np.dtype) -> np.dtype:
    """Returns the dtype of the same kind with at most 32 bits."""
    return _NARROW.get(dtype, dtype)


def field_names(nest: Nest) -> list[str]:
    """Returns the path of each leaf, such as `place/x`; `observation` for a single array."""
    return ["/".join(map(str, path)) or "observation" for path, _ in tree.flatten_with_path(nest)]


def _narrow_array(spec: specs.Array) -> specs.Array:
    dtype = narrow_type(spec.dtype)
    return spec if dtype == spec.dtype else specs.Array(spec.shape, dtype, name=spec.name)


def _check_actions(spec: specs.Array, name: str) -> None:
    if isinstance(spec, specs.DiscreteArray):
        if spec.num_values > MAX_ACTIONS:
            _fail(name, f"{spec.num_values} actions; supported are at most {MAX_ACTIONS}")
    elif not (
        isinstance(spec, specs.BoundedArray)
        and spec.dtype == np.float32
        and len(spec.shape) == 1
        and math.prod(spec.shape) > 0
    ):
        _fail(
            name,
            "actions must be a dm_env.specs.DiscreteArray, or a BoundedArray of one axis and dtype "
            f"float32; got {spec!r}",
        )


def _check_observations(features: Nest, name: str) -> None:
    leaves = tree.flatten(features)
    if not leaves:
        _fail(name, "the observation has no array; it needs at least one")
    for field, spec in zip(field_names(features), leaves, strict=True):
        where = f"observation field '{field}'"
        if np.dtype(spec.dtype).kind not in "fiub":
            _fail(name, f"{where} has dtype {spec.dtype}; supported are real numbers and bool")
        if 0 in spec.shape:
            _fail(name, f"{where} is empty: it has shape {spec.shape}; leave it out")
    if not tree.is_nested(features) and features.shape == ():
        _fail(
            name,
            "the observation is a scalar; give it shape (1,), or encode a choice as one-hot vector",
        )


def _check_mask(legal_actions: specs.Array, actions: specs.Array, name: str) -> None:
    if not isinstance(actions, specs.DiscreteArray):
        _fail(name, f"a legal-action mask needs discrete actions; got {actions!r}")
    if legal_actions.shape != (actions.num_values,) or legal_actions.dtype != bool:
        _fail(
            name,
            f"legal_actions must have shape ({actions.num_values},), dtype bool; got shape "
            f"{legal_actions.shape}, dtype {legal_actions.dtype}",
        )


def _check_rewards(spec: EnvironmentSpec, name: str) -> None:
    shape, observation = spec.rewards.shape, spec.observations
    if shape == ():
        return
    player = getattr(observation, "player", ())
    active = getattr(observation, "active", ())
    if len(shape) != 1 or shape[0] < 3 or not (player and active) or active.shape != shape:
        _fail(
            name,
            f"the reward must be a scalar; its spec has shape {shape}. Rewards of three and more "
            "players need a MaskedObservation with player [] and active [P]",
        )


def has_no_legal_action(observation: Nest) -> bool:
    """Returns True if an observation has a legal-action mask without a legal action."""
    return isinstance(observation, MaskedObservation) and not observation.legal_actions.any()


def _fail(name: str, message: str) -> NoReturn:
    raise UserError(f"{name}: {message}")
