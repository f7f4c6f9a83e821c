"""Encoding of dm_env specs and time steps as messages of a dm_env_rpc server, for the server."""

from collections.abc import Iterator, Mapping
from typing import Any

import dm_env
import numpy as np
import tree
from dm_env import specs
from dm_env_rpc.v1 import dm_env_rpc_pb2, dm_env_utils, tensor_utils

from mukoe.environments.dm_env_rpc.reserved_names import (
    ACTION_REPEAT,
    DISCOUNT,
    EPISODE_RESULT,
    LEGAL_ACTIONS,
    RESERVED,
    REWARD,
)
from mukoe.environments.vector import ReportsEpisodes, environment_spec
from mukoe.errors import UserError
from mukoe.types import EpisodeResult, MaskedObservation, Nest

_RUNNING, _TERMINATED, _INTERRUPTED = (
    dm_env_rpc_pb2.RUNNING,
    dm_env_rpc_pb2.TERMINATED,
    dm_env_rpc_pb2.INTERRUPTED,
)
_ACTION = 1


class Encoder:
    """Encoder of the specs and time steps of an environment, and decoder of the client's actions.

    specs: specs for the response to a join request.
    """

    def __init__(self, environment: dm_env.Environment, name: str):
        """Encodes the specs of an environment.

        Args:
          environment: environment of the server.
          name: environment name for error messages.

        Raises:
          UserError: dm_env_rpc does not support the specs.
        """
        self._name = name
        spec = environment_spec(environment)
        self._action = spec.actions.replace(name=spec.actions.name or "action")
        self._reports = isinstance(environment, ReportsEpisodes)
        repeat = getattr(environment, "action_repeat", 1)
        observed = dict(_named(spec.observations))
        self._check_names(observed, isinstance(spec.observations, MaskedObservation))
        observed = {key: s.replace(name=key) for key, s in observed.items()}
        observed[REWARD] = specs.Array((), np.float64, name=REWARD)
        observed[DISCOUNT] = spec.discounts.replace(name=DISCOUNT)
        self._constants: dict[str, Any] = {}
        if self._reports:
            observed[EPISODE_RESULT] = specs.Array((5,), np.float64, name=EPISODE_RESULT)
        if repeat != 1:
            observed[ACTION_REPEAT] = specs.BoundedArray((), np.int32, repeat, repeat)
            observed[ACTION_REPEAT] = observed[ACTION_REPEAT].replace(name=ACTION_REPEAT)
            self._constants[ACTION_REPEAT] = np.int32(repeat)
        self.specs = dm_env_rpc_pb2.ActionObservationSpecs(
            actions={_ACTION: self._tensor_spec(self._action)},
            observations={
                uid: self._tensor_spec(s) for uid, s in enumerate(observed.values(), start=1)
            },
        )
        # Name and dtype by uid.
        self._observations = {uid: (s.name, s.dtype) for uid, s in self.specs.observations.items()}

    def decode_action(self, tensors: Mapping[int, dm_env_rpc_pb2.Tensor]) -> Any:
        """Decodes the action of a step request.

        Raises:
          ValueError: the tensors are not exactly the action, with valid dtype, shape and bounds.
        """
        if set(tensors) != {_ACTION}:
            raise ValueError(f"the uid of the action is {_ACTION}; got {sorted(tensors) or 'none'}")
        return self._action.validate(np.asarray(tensor_utils.unpack_tensor(tensors[_ACTION])))[()]

    def check_requested(self, uids: Any) -> None:
        """Raises a ValueError if a requested observation does not exist."""
        for uid in uids:
            if uid not in self._observations:
                raise ValueError(f"there is no observation with the uid {uid}")

    def encode(
        self, timestep: dm_env.TimeStep, result: EpisodeResult | None, requested: Any
    ) -> dm_env_rpc_pb2.StepResponse:
        """Encodes a time step as a response with the `requested` observations (uids)."""
        values = dict(_named(timestep.observation)) | self._constants
        first = timestep.first()
        values[REWARD] = 0.0 if first else timestep.reward
        values[DISCOUNT] = 1.0 if first else timestep.discount
        if self._reports:
            values[EPISODE_RESULT] = _numbers_of(result)
        state = _RUNNING
        if timestep.last():
            state = _INTERRUPTED if timestep.discount else _TERMINATED
        packed = {}
        for uid in requested:
            key, dtype = self._observations[uid]
            packed[uid] = tensor_utils.pack_tensor(values[key], dtype)
        return dm_env_rpc_pb2.StepResponse(state=state, observations=packed)

    def _check_names(self, observed: Mapping[str, Any], masked: bool) -> None:
        allowed = {LEGAL_ACTIONS} if masked else set()
        taken = sorted(set(observed) & set(RESERVED) - allowed)
        if taken:
            raise UserError(
                f"{self._name}: an observation may not have the reserved name {', '.join(taken)}; "
                "rename it"
            )

    def _tensor_spec(self, spec: specs.Array) -> dm_env_rpc_pb2.TensorSpec:
        try:
            return dm_env_utils.dm_env_spec_to_tensor_spec(spec)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{self._name}: dm_env_rpc does not support {spec!r}: {error}"
            ) from error


def _named(nest: Nest) -> Iterator[tuple[str, Any]]:
    """Yields the leaves of an observation with their names, the path joined by dots."""
    for path, leaf in tree.flatten_with_path(nest):
        yield ".".join(map(str, path)) or "observation", leaf


def _numbers_of(result: EpisodeResult | None) -> np.ndarray:
    if result is None:
        return np.full(5, np.nan)
    numbers = (result.episode_return, result.length, result.frames, result.seat, result.milestone)
    return np.array(numbers, np.float64)
