"""Conversion of the arrays of a data set to the observations of an environment.

Both sides are described: the spec that the data have after the conversion is compared with that of
the environment, so that a difference of the spaces is an error before any episode is read.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from dm_env import specs
from gymnasium import spaces

from mukoe.environments.gymnasium.action_masks import MASK
from mukoe.environments.gymnasium.observations import make_observation_encoder
from mukoe.environments.spec_checks import LARGEST
from mukoe.errors import UserError
from mukoe.types import MaskedObservation, Nest


class Decoder(NamedTuple):
    """Conversion of one part of the data.

    spec: spec of the converted part, without time axis.
    decode: function from the stored arrays `[T, ...]` to converted ones.
    """

    spec: Any
    decode: Callable[[Any], Nest]


def observation_decoder(space: spaces.Space, spec: Nest, name: str) -> Decoder:
    """Returns the conversion of observations.

    Parts of the same structure are converted one by one. Other spaces are converted as those of a
    Gymnasium environment, see `GymnasiumEnvironment`.

    Args:
      space: observation space of the data set.
      spec: spec of the observations of the environment.
      name: name of the data set, for error messages.

    Raises:
      UserError: the space is not supported.
    """
    if isinstance(spec, MaskedObservation):
        if not isinstance(space, spaces.Dict) or MASK not in space.spaces:
            return _general(space, name)
        rest = {key: part for key, part in space.spaces.items() if key != MASK}
        alone = next(iter(rest)) if len(rest) == 1 else None
        features = observation_decoder(
            spaces.Dict(rest) if alone is None else rest[alone], spec.features, name
        )
        mask = _leaf(space.spaces[MASK], spec.legal_actions, name)
        return Decoder(
            MaskedObservation(features.spec, mask.spec),
            lambda data: MaskedObservation(
                features.decode(data if alone is None else data[alone]), mask.decode(data[MASK])
            ),
        )
    if isinstance(spec, dict) and _parts_of(space) == {str(key) for key in spec}:
        return _parts({key: space[str(key)] for key in spec}, spec, name)  # type: ignore[index]
    return _leaf(space, spec, name) if hasattr(spec, "dtype") else _general(space, name)


def _parts_of(space: spaces.Space) -> set[str]:
    return set(space.spaces) if isinstance(space, spaces.Dict) else set()


def _parts(parts: dict[Any, spaces.Space], spec: dict[Any, Nest], name: str) -> Decoder:
    decoders = {key: observation_decoder(part, spec[key], name) for key, part in parts.items()}
    return Decoder(
        {key: decoder.spec for key, decoder in decoders.items()},
        lambda data: {key: decoder.decode(data[str(key)]) for key, decoder in decoders.items()},
    )


def _leaf(space: spaces.Space, spec: specs.Array, name: str) -> Decoder:
    """Returns the conversion of one array, of a Box or MultiBinary space."""
    if not isinstance(space, spaces.Box | spaces.MultiBinary):
        return _general(space, name)
    shape, dtype = tuple(space.shape or (1,)), np.dtype(spec.dtype)
    if not _holds(dtype, np.dtype(space.dtype)):
        dtype = np.dtype(space.dtype)
    if shape + (1,) == tuple(spec.shape):
        shape += (1,)
    return Decoder(specs.Array(shape, dtype), lambda data: _cast(data, shape, dtype))


def _holds(dtype: np.dtype, stored: np.dtype) -> bool:
    """Returns whether an agent that observes `dtype` can observe arrays of type `stored`."""
    if dtype == stored:
        return True
    if dtype.kind == "f":
        return stored != np.uint8
    return dtype.kind == "b" and stored == np.int8  # MultiBinary


def _cast(data: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Returns an array `[T, ...]` of the type of its spec.

    Raises:
      UserError: the array has another shape than its space, or its numbers do not fit the type.
    """
    array = np.asarray(data)
    if array.dtype.kind not in "fiub" or array.size != len(array) * int(np.prod(shape)):
        raise UserError(
            f"observations are {array.dtype}{list(array.shape[1:])}, and their space has the "
            f"shape {list(shape)}"
        )
    array = array.reshape(len(array), *shape)
    if dtype.kind == "f":
        beyond = np.isfinite(array) & (np.abs(array) > LARGEST)
        if beyond.any():
            raise UserError(f"observations must be from {-LARGEST:g} to {LARGEST:g}")
        return array.astype(dtype)
    converted = array.astype(dtype)
    if not (converted == array).all():
        raise UserError(f"observations hold numbers that are no {dtype}")
    return converted


def _general(space: spaces.Space, name: str) -> Decoder:
    """Returns the conversion of any space to one array, step by step."""
    spec, encode = make_observation_encoder(space, name)

    def decode(data: Any) -> np.ndarray:
        def at(step: int) -> Any:
            return jax.tree.map(lambda array: array[step], data)

        length = len(jax.tree.leaves(data)[0])
        return np.stack([encode(at(step)) for step in range(length)])

    return Decoder(spec, decode)
