"""Conversions between Gymnasium spaces and dm_env specs."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from dm_env import specs
from gymnasium import spaces

from mukoe.errors import UserError

MAX_ACTIONS = 10_000
"""Maximum number of discrete actions: each action is an output of a network."""

Encoder = Callable[[Any], np.ndarray]


def make_action_decoder(
    space: spaces.Space, name: str
) -> tuple[specs.BoundedArray, Callable[[Any], Any]]:
    """Returns the action spec of a space, and the function to the space's native actions.

    Args:
        space: action space of the environment.
        name: environment name for error messages.

    Raises:
        UserError: the space is not supported, see `GymnasiumEnvironment`.
    """
    decode: Callable[[Any], Any]
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        return _box_decoder(space, name)
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        count, decode = int(space.n), lambda action: start + int(action)
    elif isinstance(space, spaces.MultiDiscrete):
        count, decode = _multi_discrete_decoder(space)
    else:
        raise UserError(
            f"Gymnasium environment '{name}' has actions {space}; "
            "supported are Discrete, MultiDiscrete, and Box of floats"
        )
    if count > MAX_ACTIONS:
        raise UserError(
            f"Gymnasium environment '{name}' has {count} actions ({space}); "
            f"supported are at most {MAX_ACTIONS}"
        )
    return specs.DiscreteArray(count, np.int32, name="action"), decode


def _box_decoder(
    space: spaces.Box, name: str
) -> tuple[specs.BoundedArray, Callable[[np.ndarray], np.ndarray]]:
    low, high = space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise UserError(
            f"Gymnasium environment '{name}' has actions {space}; supported are those with finite "
            "bounds, each low below its high"
        )

    def decode(action: np.ndarray) -> np.ndarray:
        share = (np.clip(action, -1.0, 1.0).astype(np.float64) + 1.0) / 2.0
        scaled = (low + share * (high - low)).astype(space.dtype)
        return np.clip(scaled, space.low.ravel(), space.high.ravel()).reshape(space.shape)

    return specs.BoundedArray(low.shape, np.float32, -1.0, 1.0, name="action"), decode


def _multi_discrete_decoder(space: spaces.MultiDiscrete) -> tuple[int, Callable[[Any], Any]]:
    sizes = tuple(int(n) for n in space.nvec.flat)

    def decode(action: int) -> np.ndarray:
        choices = np.array(np.unravel_index(int(action), sizes), space.dtype)
        return space.start + choices.reshape(space.nvec.shape)

    return int(np.prod(sizes, dtype=object)), decode


def make_observation_encoder(space: spaces.Space, name: str) -> tuple[specs.Array, Encoder]:
    """Returns the spec of the encoded observations of a space, and the encoding function.

    Args:
        space: observation space of the environment.
        name: environment name for error messages.

    Raises:
        UserError: the space is not supported, see `GymnasiumEnvironment`.
    """
    if isinstance(space, spaces.Box) and space.dtype == np.uint8:
        spec = specs.BoundedArray(space.shape, np.uint8, 0, 255, name="observation")
        return spec, lambda observation: np.array(observation, np.uint8)
    shape, encode = _float_encoder(space, name)
    return specs.Array(shape, np.float32, name="observation"), encode


def _float_encoder(space: spaces.Space, name: str) -> tuple[tuple[int, ...], Encoder]:
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        return space.shape, lambda observation: np.array(observation, np.float32)
    if isinstance(space, spaces.Discrete):
        return (int(space.n),), _one_hot_encoder(space.n, space.start)
    if isinstance(space, spaces.MultiDiscrete):
        return (int(space.nvec.sum()),), _one_hot_encoder(space.nvec, space.start)
    if isinstance(space, spaces.Tuple):
        return _concatenating_encoder(dict(enumerate(space.spaces)), name)
    if isinstance(space, spaces.Dict):
        return _concatenating_encoder(space.spaces, name)
    raise UserError(
        f"Gymnasium environment '{name}' has observations {space}; supported are Box, MultiBinary, "
        "Discrete, MultiDiscrete, and Tuple or Dict of them"
    )


def _one_hot_encoder(sizes: Any, start: Any) -> Encoder:
    """Returns an encoder of one or several choices as concatenated one-hots."""
    sizes = np.atleast_1d(sizes).ravel()
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]) - np.atleast_1d(start).ravel()
    width = int(sizes.sum())

    def encode(observation: Any) -> np.ndarray:
        vector = np.zeros(width, np.float32)
        vector[np.ravel(observation) + offsets] = 1.0
        return vector

    return encode


def _concatenating_encoder(
    parts: Mapping[Any, spaces.Space], name: str
) -> tuple[tuple[int, ...], Encoder]:
    encoders: dict[Any, Encoder] = {}
    width = 0
    for key, space in parts.items():
        shape, encoders[key] = _float_encoder(space, name)
        if len(shape) > 1:
            raise UserError(
                f"Gymnasium environment '{name}' has an observation part '{key}' of shape {shape}; "
                "supported in a Tuple or Dict are parts with at most one axis"
            )
        width += int(np.prod(shape))

    def encode(observation: Any) -> np.ndarray:
        return np.concatenate([np.ravel(encoders[key](observation[key])) for key in encoders])

    return (width,), encode
