"""Conversion of one action array to the action tensors of a dm_env_rpc server."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from dm_env import specs
from dm_env_rpc.v1 import dm_env_rpc_pb2, tensor_spec_utils, tensor_utils

from mukoe.environments.spec_checks import MAX_ACTIONS
from mukoe.errors import UserError


class Actions:
    """Conversion of an agent's action to the action tensors of a server, sorted by name.

    Integer tensors: an index into the product of the choices of all entries, in C order. Float
    tensors: a vector of all entries, with [-1, 1] mapped to [minimum, maximum].

    spec: spec of the agent's action, int32 in 0..A-1 or float32 `[D]` in [-1, 1].
    """

    def __init__(self, offered: Mapping[int, dm_env_rpc_pb2.TensorSpec], name: str):
        """Reads the action specs of a server.

        Args:
          offered: action specs by uid.
          name: server name for error messages.

        Raises:
          UserError: the actions are not supported.
        """
        if not offered:
            raise UserError(f"{name} takes no action; it must take at least one")
        self._tensors = sorted(offered.items(), key=lambda item: item[1].name)
        for _, spec in self._tensors:
            _check_bounded(spec, name)
        low, high = zip(*(_flat_bounds(spec) for _, spec in self._tensors), strict=True)
        self._low, self._high = np.concatenate(low), np.concatenate(high)
        kinds = {numpy_type(spec)[1].kind in "iu" for _, spec in self._tensors}
        if len(kinds) > 1:
            raise UserError(
                f"{name} takes actions of integers and of floats at once "
                f"({', '.join(describe(spec) for _, spec in self._tensors)}); "
                "supported is one of the two kinds"
            )
        self._discrete = kinds == {True}
        self.spec = self._choices(name) if self._discrete else self._vector()

    def pack(self, action: Any) -> Mapping[int, dm_env_rpc_pb2.Tensor]:
        """Returns the action tensors by uid."""
        entries = self._choose(int(action)) if self._discrete else self._scale(action)
        packed, start = {}, 0
        for uid, spec in self._tensors:
            shape, dtype = numpy_type(spec)
            part = entries[start : start + math.prod(shape)]
            packed[uid] = tensor_utils.pack_tensor(part.astype(dtype).reshape(shape))
            start += math.prod(shape)
        return packed

    def _choices(self, name: str) -> specs.DiscreteArray:
        pairs = zip(self._low.tolist(), self._high.tolist(), strict=True)
        self._sizes = tuple(high - low + 1 for low, high in pairs)
        count = math.prod(self._sizes)
        if count > MAX_ACTIONS:
            raise UserError(f"{name} takes {count} actions; supported are at most {MAX_ACTIONS}")
        return specs.DiscreteArray(count, np.int32, name="action")

    def _vector(self) -> specs.BoundedArray:
        return specs.BoundedArray(self._low.shape, np.float32, -1.0, 1.0, name="action")

    def _choose(self, action: int) -> np.ndarray:
        return self._low + np.array(np.unravel_index(action, self._sizes), self._low.dtype)

    def _scale(self, action: np.ndarray) -> np.ndarray:
        share = np.clip(action, -1.0, 1.0).astype(np.float64)
        scaled = self._low + (share + 1.0) / 2.0 * (self._high - self._low)
        same = (self._low == -1.0) & (self._high == 1.0)
        return np.where(same, share, np.clip(scaled, self._low, self._high))


def _check_bounded(spec: dm_env_rpc_pb2.TensorSpec, name: str) -> None:
    where = f"{name}: action {describe(spec)}"
    if spec.dtype == dm_env_rpc_pb2.DataType.BOOL:
        raise UserError(f"{where} is not supported; use an integer with minimum 0 and maximum 1")
    if not (spec.HasField("min") and spec.HasField("max")):
        raise UserError(f"{where} is unbounded; it needs a minimum and a maximum")
    try:
        bounds = tensor_spec_utils.bounds(spec)
    except ValueError as invalid:
        raise UserError(
            f"{where} has invalid bounds: {' '.join(str(invalid).split())}"
        ) from invalid
    if not (np.isfinite(bounds.min).all() and np.isfinite(bounds.max).all()):
        raise UserError(f"{where} has infinite bounds; supported are finite ones")


def _flat_bounds(spec: dm_env_rpc_pb2.TensorSpec) -> tuple[np.ndarray, np.ndarray]:
    """Returns the lower and upper bounds of all entries, int64 or float64."""
    shape, dtype = numpy_type(spec)
    bounds = tensor_spec_utils.bounds(spec)
    wide = np.int64 if dtype.kind in "iu" else np.float64
    low, high = np.asarray(bounds.min, wide), np.asarray(bounds.max, wide)
    return np.broadcast_to(low, shape).ravel(), np.broadcast_to(high, shape).ravel()


def numpy_type(spec: dm_env_rpc_pb2.TensorSpec) -> tuple[tuple[int, ...], np.dtype]:
    """Returns the shape and dtype of a tensor."""
    return tuple(spec.shape), np.dtype(tensor_utils.data_type_to_np_type(spec.dtype))


def describe(spec: dm_env_rpc_pb2.TensorSpec) -> str:
    """Returns name, type, shape and bounds in one line."""
    text = f"'{spec.name}' {dm_env_rpc_pb2.DataType.Name(spec.dtype)} {list(spec.shape)}"
    for end, value in (("min", spec.min), ("max", spec.max)):
        if spec.HasField(end):
            bound = tensor_utils.unpack_proto(value)
            text += f" {end} {bound[0] if len(bound) == 1 else bound.tolist()}"
    return text
