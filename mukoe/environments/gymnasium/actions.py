"""Conversion of Gymnasium action spaces to dm_env specs."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from dm_env import specs
from gymnasium import spaces

from mukoe.environments.spec_checks import MAX_ACTIONS
from mukoe.errors import UserError
from mukoe.types import ProductArray


def make_action_decoder(
    space: spaces.Space, name: str
) -> tuple[specs.BoundedArray, Callable[[Any], Any]]:
    """Returns the action spec of a space, and the function to the space's native actions.

    Args:
        space: action space of the environment.
        name: environment or data set for error messages, such as `data set 'a-v0'`.

    Raises:
        UserError: the space is not supported, see `GymnasiumEnvironment`.
    """
    decode: Callable[[Any], Any]
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        return _box_decoder(space, name)
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        count, decode = int(space.n), lambda action: start + int(action)
    elif isinstance(space, spaces.MultiDiscrete) and _num_combinations(space) <= MAX_ACTIONS:
        count, decode = _multi_discrete_decoder(space)
    else:
        choices, decode = _product_decoder(space, name)
        count = max(choices)
        if count == 0:
            return specs.BoundedArray((len(choices),), np.float32, -1.0, 1.0, "action"), decode
        if count <= MAX_ACTIONS:
            return ProductArray(choices), decode
    if count > MAX_ACTIONS:
        raise UserError(
            f"{name} has {count} actions ({space}); supported are at most {MAX_ACTIONS}"
        )
    return specs.DiscreteArray(count, np.int32, name="action"), decode


def _box_decoder(
    space: spaces.Box, name: str
) -> tuple[specs.BoundedArray, Callable[[np.ndarray], np.ndarray]]:
    low, high = space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(high - low).all()
    if not (finite and (low < high).all() and low.size):
        raise UserError(
            f"{name} has actions {space}; supported are those with finite "
            "bounds, each low below its high, and at least one entry"
        )

    def decode(action: np.ndarray) -> np.ndarray:
        share = (np.clip(action, -1.0, 1.0).astype(np.float64) + 1.0) / 2.0
        scaled = (low + share * (high - low)).astype(space.dtype)
        return np.clip(scaled, space.low.ravel(), space.high.ravel()).reshape(space.shape)

    return specs.BoundedArray(low.shape, np.float32, -1.0, 1.0, name="action"), decode


def _product_decoder(
    space: spaces.Space, name: str
) -> tuple[list[int], Callable[[np.ndarray], Any]]:
    """Returns the choices of the entries of a product of spaces, and its decoder.

    Args:
        space: Discrete, MultiDiscrete, MultiBinary or Box of floats, or a Dict or Tuple of these,
            whose parts are taken in their order.
        name: environment or data set for error messages, such as `data set 'a-v0'`.

    Raises:
        UserError: the space, or a part of it, is not supported.
    """
    if isinstance(space, spaces.Dict):
        choices, decode_tuple = _product_decoder(spaces.Tuple(space.spaces.values()), name)
        return choices, lambda action: dict(zip(space.spaces, decode_tuple(action), strict=True))
    if isinstance(space, spaces.Tuple) and space.spaces:
        parts = [_product_decoder(part, name) for part in space.spaces]
        ends = np.cumsum([len(choices) for choices, _ in parts])

        def decode_parts(action: np.ndarray) -> tuple[Any, ...]:
            entries = np.split(action, ends[:-1])
            return tuple(decode(x) for (_, decode), x in zip(parts, entries, strict=True))

        return [count for choices, _ in parts for count in choices], decode_parts
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        spec, decode = _box_decoder(space, name)
        return [0] * spec.shape[0], decode
    if isinstance(space, spaces.Discrete):
        start = space.start
        return [int(space.n)], lambda action: int(start) + round(float(action[0]))
    if isinstance(space, spaces.MultiDiscrete):
        start, shape = space.start, space.nvec.shape
        counts = [int(count) for count in space.nvec.flat]
        return counts, lambda action: start + np.rint(action).astype(space.dtype).reshape(shape)
    if isinstance(space, spaces.MultiBinary):
        counts = [2] * int(np.prod(space.shape))
        return counts, lambda action: np.rint(action).astype(space.dtype).reshape(space.shape)
    raise UserError(
        f"{name} has actions {space}; supported are Discrete, "
        "MultiDiscrete, MultiBinary, Box of floats, and Dict or Tuple of these"
    )


def _num_combinations(space: spaces.MultiDiscrete) -> int:
    return math.prod(int(count) for count in space.nvec.flat)


def _multi_discrete_decoder(space: spaces.MultiDiscrete) -> tuple[int, Callable[[Any], Any]]:
    sizes = tuple(int(n) for n in space.nvec.flat)

    def decode(action: int) -> np.ndarray:
        choices = np.array(np.unravel_index(int(action), sizes), space.dtype)
        return space.start + choices.reshape(space.nvec.shape)

    return int(np.prod(sizes, dtype=object)), decode
