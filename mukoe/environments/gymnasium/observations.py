"""Conversion of Gymnasium observation spaces to dm_env specs.

An observation outside its space raises a UserError that names the part, the expected and the
received value. The bounds of a `Box` are not checked: many environments exceed them a little.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from dm_env import specs
from gymnasium import spaces

from mukoe.environments.spec_checks import LARGEST
from mukoe.errors import UserError

MAX_CHOICES = 1_000_000
"""Maximum length of one-hot vectors: each choice is an input of a network."""

Encoder = Callable[[Any], np.ndarray]


def make_observation_encoder(space: spaces.Space, name: str) -> tuple[specs.Array, Encoder]:
    """Returns the spec of the encoded observations of a space, and the encoding function.

    Args:
        space: observation space of the environment.
        name: environment name for error messages.

    Raises:
        UserError: the space is not supported, see `GymnasiumEnvironment`.
    """
    if isinstance(space, spaces.Box) and space.dtype == np.uint8:
        shape = space.shape or (1,)
        spec = specs.BoundedArray(shape, np.uint8, 0, 255, name="observation")
        return spec, lambda observation: _bytes(observation, space.shape, shape)
    shape, encode = _float_encoder(space, name, "observation")
    shape = shape or (1,)
    if 0 in shape:
        raise UserError(f"Gymnasium environment '{name}' has empty observations {space}")
    return specs.Array(shape, np.float32, name="observation"), lambda o: encode(o).reshape(shape)


def _float_encoder(space: spaces.Space, name: str, part: str) -> tuple[tuple[int, ...], Encoder]:
    """Returns the shape of an encoded space, and the encoding function."""
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        return space.shape, lambda observation: _floats(observation, space.shape, part)
    if isinstance(space, spaces.Discrete):
        return _one_hot_encoder(space.n, space.start, name, part)
    if isinstance(space, spaces.MultiDiscrete):
        return _one_hot_encoder(space.nvec, space.start, name, part)
    if isinstance(space, spaces.Tuple):
        return _concatenating_encoder(dict(enumerate(space.spaces)), name, part)
    if isinstance(space, spaces.Dict):
        return _concatenating_encoder(space.spaces, name, part)
    raise UserError(
        f"Gymnasium environment '{name}' has observations {space}; supported are Box, MultiBinary, "
        "Discrete, MultiDiscrete, and Tuple or Dict of them"
    )


def _bytes(observation: Any, expected: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    array = _array(observation, expected, "observation")
    if array.dtype != np.uint8:
        outside = (array < 0) | (array > 255) | (array != np.floor(array))
        if outside.any():
            raise UserError(f"observation must be integers in 0..255; got {array[outside].flat[0]}")
    return np.array(array, np.uint8).reshape(shape)


def _floats(observation: Any, shape: tuple[int, ...], part: str) -> np.ndarray:
    array = _array(observation, shape, part)
    if array.dtype.kind == "f" and array.dtype.itemsize > 4:
        beyond = np.isfinite(array) & (np.abs(array) > LARGEST)
        if beyond.any():
            raise UserError(
                f"{part} must be from {-LARGEST:g} to {LARGEST:g}; got {array[beyond].flat[0]}; "
                "scale or clip it"
            )
    return np.array(array, np.float32)


def _array(observation: Any, shape: tuple[int, ...], part: str) -> np.ndarray:
    """Returns an observation as an array of numbers."""
    try:
        array = np.asarray(observation)
    except ValueError as error:  # nested lists of different lengths
        raise UserError(f"{part} must be an array of shape {shape}; {error}") from error
    if array.shape != shape or array.dtype.kind not in "fiub":
        raise UserError(
            f"{part} must be numbers of shape {shape}; got shape {array.shape}, dtype {array.dtype}"
        )
    return array


def _one_hot_encoder(
    sizes: Any, start: Any, name: str, part: str
) -> tuple[tuple[int, ...], Encoder]:
    """Returns length and encoder of one or several choices as concatenated one-hots."""
    shape = np.shape(sizes)
    sizes, start = np.ravel(sizes).astype(np.int64), np.ravel(start).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    width = sum(sizes.tolist())
    if width > MAX_CHOICES:
        raise UserError(
            f"Gymnasium environment '{name}' has {width} choices in its {part}, each an input of "
            f"the network; supported are at most {MAX_CHOICES}"
        )

    def encode(observation: Any) -> np.ndarray:
        choices = np.asarray(observation)
        if choices.size != sizes.size or choices.dtype.kind not in "iub":
            raise UserError(
                f"{part} must be integers of shape {shape}; got {_shorten(observation)}"
            )
        choices = choices.ravel().astype(np.int64) - start
        outside = (choices < 0) | (choices >= sizes)
        if outside.any():
            entry = int(outside.argmax())
            low = int(start[entry])
            raise UserError(
                f"{part} must be in {low}..{low + int(sizes[entry]) - 1}; "
                f"got {int(choices[entry]) + low}"
            )
        vector = np.zeros(width, np.float32)
        vector[choices + offsets] = 1.0
        return vector

    return (width,), encode


def _concatenating_encoder(
    parts: Mapping[Any, spaces.Space], name: str, part: str
) -> tuple[tuple[int, ...], Encoder]:
    encoders: dict[Any, Encoder] = {}
    width = 0
    for key, space in parts.items():
        shape, encoders[key] = _float_encoder(space, name, f"{part}[{key!r}]")
        if len(shape) > 1:
            raise UserError(
                f"Gymnasium environment '{name}' has an observation part '{key}' of shape {shape}; "
                "supported in a Tuple or Dict are parts with at most one axis"
            )
        width += math.prod(shape)

    def encode(observation: Any) -> np.ndarray:
        try:
            vectors = [np.ravel(encoders[key](observation[key])) for key in encoders]
        except (KeyError, IndexError, TypeError) as error:
            raise UserError(
                f"{part} must have the parts {', '.join(map(repr, encoders))}; "
                f"got {_shorten(observation)}"
            ) from error
        return np.concatenate(vectors)

    # The parts of an empty Tuple or Dict are empty, too.
    return (width,), encode


def _shorten(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
