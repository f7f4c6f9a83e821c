"""Conversion of the native actions of a data set to those of an agent.

The inverse of `mukoe.environments.gymnasium.actions`, for all steps of an episode at once.
"""

from typing import Any

import numpy as np
from dm_env import specs
from gymnasium import spaces

from mukoe.environments.gymnasium.actions import make_action_decoder
from mukoe.errors import UserError
from mukoe.replay.datasets.decoding import Decoder
from mukoe.types import EnvironmentSpec, ProductArray, is_continuous


def action_decoder(space: spaces.Space, spec: EnvironmentSpec, name: str) -> Decoder:
    """Returns the conversion of native actions to those of an agent.

    Args:
      space: action space of the data set.
      spec: spec of the environment.
      name: name of the data set, for error messages.

    Raises:
      UserError: the space is not supported.
    """
    native = spec.actions
    if is_continuous(spec) and isinstance(space, spaces.Box) and _is_native(native, space):
        return Decoder(native, lambda data: _native(data, native))
    actions, _ = make_action_decoder(space, name)
    if not isinstance(actions, specs.DiscreteArray):
        return Decoder(actions, lambda data: _entries(space, data, "actions"))
    if isinstance(space, spaces.Discrete):
        return Decoder(actions, lambda data: _choices(_array(data), space).astype(np.int32))
    return Decoder(actions, lambda data: _joint_choices(data, space))  # type: ignore[arg-type]


def _is_native(actions: specs.BoundedArray, space: spaces.Box) -> bool:
    """Returns whether a Box has the bounds of the agent's own actions."""
    low, high = space.low.ravel(), space.high.ravel()
    return bool(
        actions.shape == low.shape
        and (low == actions.minimum).all()
        and (high == actions.maximum).all()
    )


def _native(data: Any, actions: specs.BoundedArray) -> np.ndarray:
    """Returns the agent's own actions `[T, D]` float32.

    Raises:
      UserError: they have another shape, or a choice is none.
    """
    array = _array(data)
    if array.dtype.kind not in "fiu" or array.size != len(array) * actions.shape[0]:
        raise UserError(
            f"actions must be numbers of the shape {list(actions.shape)}; got "
            f"{array.dtype}{list(array.shape[1:])}"
        )
    array = array.reshape(len(array), -1).astype(np.float32)
    if isinstance(actions, ProductArray):
        for entry, count in enumerate(actions.choices):
            column = array[:, entry]
            wrong = (column != np.rint(column)) | (column < 0) | (column >= count)
            if count and wrong.any():
                step = int(np.argmax(wrong))
                raise UserError(
                    f"choice {entry} of step {step} is {column[step]:g}, no whole number from 0 "
                    f"to {count - 1}"
                )
    return array


def _entries(space: spaces.Space, data: Any, place: str) -> np.ndarray:
    """Returns the entries `[T, P]` float32 of actions of several parts.

    Args:
      space: space of the actions, or of a part of them.
      data: arrays `[T, ...]`, in dicts and tuples like those of the space.
      place: name of the part, for error messages.

    Raises:
      UserError: the data are not in the space.
    """
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = dict(space.spaces if isinstance(space, spaces.Dict) else enumerate(space.spaces))
        given = data if isinstance(data, dict) else {}
        if isinstance(data, tuple | list):
            given = dict(enumerate(data))
        for key in parts:
            if key not in given:
                raise UserError(f"{place} have no part {key!r}")
        columns = [_entries(part, given[key], f"{place}[{key!r}]") for key, part in parts.items()]
        lengths = sorted({len(column) for column in columns})
        if len(lengths) > 1:
            raise UserError(f"parts of the {place} have {lengths[0]} and {lengths[-1]} steps")
        return np.concatenate(columns, axis=1)
    if isinstance(space, spaces.Discrete):
        return _choices(_array(data), space)[:, None].astype(np.float32)
    array, shape = _array(data), space.shape or ()
    if array.dtype.kind not in "fiub" or array.size != len(array) * int(np.prod(shape)):
        raise UserError(
            f"{place} must be numbers of the shape {list(shape)}; got "
            f"{array.dtype}{list(array.shape[1:])}"
        )
    array = array.reshape(len(array), -1)
    if isinstance(space, spaces.Box):
        return _scaled(array, space.low.ravel(), space.high.ravel())
    if isinstance(space, spaces.MultiBinary):
        sizes = np.full(array.shape[1], 2)
        return _columns_of_choices(array.astype(np.int64), sizes).astype(np.float32)
    assert isinstance(space, spaces.MultiDiscrete)
    return _columns_of_choices(array - space.start.ravel(), space.nvec.ravel()).astype(np.float32)


def _array(data: Any) -> np.ndarray:
    """Returns actions as one array `[T, ...]`.

    Raises:
      UserError: they have several parts.
    """
    if isinstance(data, dict | tuple) or np.ndim(data) == 0:
        raise UserError("actions must be one array for each part of their space")
    return np.asarray(data)


def _choices(actions: np.ndarray, space: spaces.Discrete) -> np.ndarray:
    """Returns choices `[T]`, counted from 0."""
    if actions.ndim != 1:
        raise UserError(f"actions must be integers; got {actions.dtype}{list(actions.shape[1:])}")
    return _counted(actions - space.start, int(space.n))


def _counted(actions: np.ndarray, count: int) -> np.ndarray:
    """Returns choices `[T]` after a check of their type and range."""
    if actions.dtype.kind not in "iu":
        raise UserError(f"actions must be integers; got {actions.dtype}")
    outside = (actions < 0) | (actions >= count)
    if outside.any():
        step = int(np.argmax(outside))
        raise UserError(f"the action of step {step} is {actions[step]}, not in 0..{count - 1}")
    return actions


def _columns_of_choices(columns: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Returns choices `[T, P]` after a check of each column."""
    for index, size in enumerate(sizes):
        _counted(columns[:, index], int(size))
    return columns


def _joint_choices(data: Any, space: spaces.MultiDiscrete) -> np.ndarray:
    """Returns the indices `[T]` int32 of joint choices `[T, ...]`."""
    actions, sizes = _array(data), tuple(int(n) for n in space.nvec.flat)
    columns = actions.reshape(len(actions), -1)
    if columns.shape[1] != len(sizes):
        raise UserError(f"actions must have {len(sizes)} choices; got {columns.shape[1]}")
    choices = _columns_of_choices(columns - space.start.ravel(), space.nvec.ravel())
    return np.ravel_multi_index(tuple(choices.T), sizes).astype(np.int32)


def _scaled(actions: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Returns continuous actions `[T, D]` float32, with the bounds mapped to -1 and 1."""
    low, high = low.astype(np.float64), high.astype(np.float64)
    return (2.0 * (actions - low) / (high - low) - 1.0).clip(-1.0, 1.0).astype(np.float32)
