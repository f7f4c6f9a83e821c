"""Gymnasium spaces of environment specs, and the arrays of a data set in these spaces."""

from typing import Any

import numpy as np
from dm_env import specs
from gymnasium import spaces

from mukoe.environments.gymnasium.action_masks import MASK
from mukoe.errors import UserError
from mukoe.types import EnvironmentSpec, MaskedObservation, Nest, is_continuous

OBSERVATION = "observation"
"""Part of a masked observation beside the mask."""

_SMALLEST_PICTURE = 32
_PICTURE_CHANNELS = (1, 2, 3, 4)


def observation_space(spec: Nest) -> spaces.Space:
    """Returns the space of observations.

    A masked observation is a Dict of `action_mask` and `observation`, as in PettingZoo. A picture
    of one channel, `[H, W, 1]` uint8, has the shape `[H, W]`.

    Raises:
      UserError: Minari cannot store pictures with this number of channels.
    """
    if isinstance(spec, MaskedObservation):
        size = int(spec.legal_actions.shape[0])
        parts = {MASK: spaces.MultiBinary(size), OBSERVATION: observation_space(spec.features)}
        return spaces.Dict(parts)
    if isinstance(spec, dict):
        return spaces.Dict({str(key): observation_space(part) for key, part in spec.items()})
    if isinstance(spec, tuple | list):
        return spaces.Tuple(tuple(observation_space(part) for part in spec))
    return _box(spec)


def action_space(spec: EnvironmentSpec) -> spaces.Space:
    """Returns the space of actions: Discrete, or a Box of float32."""
    actions = spec.actions
    if not is_continuous(spec):
        return spaces.Discrete(int(actions.num_values))
    low = np.broadcast_to(np.asarray(actions.minimum, np.float32), actions.shape)
    high = np.broadcast_to(np.asarray(actions.maximum, np.float32), actions.shape)
    return spaces.Box(low, high, dtype=np.float32)


def to_stored(observation: Nest) -> Any:
    """Returns observations `[L+1, ...]` of an agent as dicts, tuples and arrays of their space."""
    if isinstance(observation, MaskedObservation):
        mask = np.asarray(observation.legal_actions).astype(np.int8)
        return {MASK: mask, OBSERVATION: to_stored(observation.features)}
    if isinstance(observation, dict):
        return {str(key): to_stored(part) for key, part in observation.items()}
    if isinstance(observation, tuple | list):
        return tuple(to_stored(part) for part in observation)
    array = np.asarray(observation)
    return array[..., 0] if is_picture(array.shape[1:], array.dtype) == 1 else array


def is_picture(shape: tuple[int, ...], dtype: Any) -> int:
    """Returns the number of channels of an array that Minari stores as a picture; 0 for others."""
    if (
        np.dtype(dtype) != np.uint8
        or len(shape) not in (2, 3)
        or min(shape[:2]) < _SMALLEST_PICTURE
    ):
        return 0
    return shape[2] if len(shape) == 3 else 1


def _box(spec: specs.Array) -> spaces.Box:
    shape, dtype = tuple(spec.shape), np.dtype(spec.dtype)
    channels = is_picture(shape, dtype)
    if channels and channels not in _PICTURE_CHANNELS:
        raise UserError(
            f"the observations uint8{list(shape)} have {channels} channels, and Minari stores "
            "pictures of at most 4"
        )
    shape = shape[:2] if channels == 1 else shape
    if dtype.kind in "b":
        return spaces.Box(0, 1, shape, dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return spaces.Box(limits.min, limits.max, shape, dtype)
    return spaces.Box(-np.inf, np.inf, shape, dtype)
