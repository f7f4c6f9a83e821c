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

from mukoe.environments.gymnasium.sequences import (
    DEFAULT_LIMITS,
    SequenceLimits,
    choice_image_encoder,
    is_choice_image,
    sequence_encoder,
    text_encoder,
)
from mukoe.environments.spec_checks import LARGEST
from mukoe.errors import UserError
from mukoe.types import Nest, SequenceArray

MAX_CHOICES = 1_000_000
"""Maximum length of one-hot vectors: each choice is an input of a network."""

Encoder = Callable[[Any], Any]


def make_observation_encoder(
    space: spaces.Space, name: str, limits: SequenceLimits = DEFAULT_LIMITS
) -> tuple[Nest, Encoder]:
    """Returns the spec of the encoded observations of a space, and the encoding function.

    Args:
        space: observation space of the environment.
        name: environment or data set for error messages, such as `data set 'a-v0'`.
        limits: bounds of texts and sequences.

    Raises:
        UserError: the space is not supported, see `GymnasiumEnvironment`.
    """
    if isinstance(space, spaces.Dict | spaces.Tuple) and not _is_vector(space):
        return _encode_parts(space, name, "observation", limits)
    return _encode_array(space, name, "observation", limits)


def _is_vector(space: spaces.Space) -> bool:
    """Returns whether observations of a space are numbers and choices with at most one axis."""
    if isinstance(space, spaces.Dict):
        return all(map(_is_vector, space.spaces.values()))
    if isinstance(space, spaces.Tuple):
        return all(map(_is_vector, space.spaces))
    if isinstance(space, spaces.MultiDiscrete):
        return not is_choice_image(space)
    return isinstance(space, spaces.Discrete) or (
        isinstance(space, spaces.Box | spaces.MultiBinary) and len(space.shape) <= 1
    )


def _encode_parts(
    space: spaces.Dict | spaces.Tuple, name: str, part: str, limits: SequenceLimits
) -> tuple[Nest, Encoder]:
    """Returns a dict of specs, or a tuple of them, and the encoder of all parts."""
    is_dict = isinstance(space, spaces.Dict)
    parts = space.spaces if isinstance(space, spaces.Dict) else dict(enumerate(space.spaces))
    encoded: dict[Any, tuple[Nest, Encoder]] = {}
    for key, inner in parts.items():
        where = f"{part}[{key!r}]"
        if isinstance(inner, spaces.Dict | spaces.Tuple) and not _is_vector(inner):
            encoded[key] = _encode_parts(inner, name, where, limits)
        else:
            encoded[key] = _encode_part(inner, name, where, limits)

    def join(values: dict[Any, Any]) -> Nest:
        if is_dict:
            return {str(key): value for key, value in values.items()}
        return tuple(values.values())

    def encode_all(observation: Any) -> Nest:
        try:
            values = {key: observation[key] for key in parts}
        except (KeyError, IndexError, TypeError) as error:
            raise UserError(
                f"{part} must have the parts {', '.join(map(repr, parts))}; "
                f"got {_shorten(observation)}"
            ) from error
        return join({key: encoded[key][1](value) for key, value in values.items()})

    return join({key: spec for key, (spec, _) in encoded.items()}), encode_all


def _encode_part(
    space: spaces.Space, name: str, part: str, limits: SequenceLimits
) -> tuple[specs.Array, Encoder]:
    """Returns `_encode_array` of a part: matrices are images of one channel or sequences."""
    if isinstance(space, spaces.Box) and len(space.shape) == 2:
        spec, encode = _encode_array(space, name, part, limits)
        if space.dtype == np.uint8:
            image = specs.BoundedArray((*spec.shape, 1), np.uint8, 0, 255, name=spec.name)
            return image, lambda observation: encode(observation)[..., None]
        present = np.ones((spec.shape[0], 1), np.float32)
        return SequenceArray(*spec.shape), lambda observation: np.concatenate(
            [present, encode(observation)], axis=1
        )
    return _encode_array(space, name, part, limits)


def _encode_array(
    space: spaces.Space, name: str, part: str, limits: SequenceLimits
) -> tuple[specs.Array, Encoder]:
    """Returns the spec of one array, and the encoding function."""
    if isinstance(space, spaces.Text):
        return text_encoder(space, part, limits)
    if isinstance(space, spaces.Sequence):
        shape, encode_entry = _float_encoder(space.feature_space, name, f"{part}[...]")
        if len(shape) > 1 or (space.stack and hasattr(space.feature_space, "spaces")):
            raise UserError(
                f"{name} has observations {space}; supported are Sequences "
                "of entries with at most one axis, those of Dict and Tuple not stacked"
            )
        return sequence_encoder(math.prod(shape), encode_entry, part, limits)
    if isinstance(space, spaces.MultiDiscrete) and is_choice_image(space):
        return choice_image_encoder(space, part)
    if isinstance(space, spaces.Box) and space.dtype == np.uint8:
        shape = space.shape or (1,)
        spec = specs.BoundedArray(shape, np.uint8, 0, 255, name="observation")
        return spec, lambda observation: _bytes(observation, space.shape, shape, part)
    shape, encode = _float_encoder(space, name, part)
    shape = shape or (1,)
    if 0 in shape:
        raise UserError(f"{name} has empty observations {space}")
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
        f"{name} has observations {space}; supported are Box, MultiBinary, "
        "Discrete, MultiDiscrete, Text, Sequence, and Tuple or Dict of them"
    )


def _bytes(
    observation: Any, expected: tuple[int, ...], shape: tuple[int, ...], part: str
) -> np.ndarray:
    array = _array(observation, expected, part)
    if array.dtype != np.uint8:
        outside = (array < 0) | (array > 255) | (array != np.floor(array))
        if outside.any():
            raise UserError(f"{part} must be integers in 0..255; got {array[outside].flat[0]}")
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
            f"{name} has {width} choices in its {part}, each an input of "
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
                f"{name} has an observation part '{key}' of shape {shape}; "
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
