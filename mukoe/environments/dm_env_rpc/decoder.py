"""Decoding of the specs and step responses of a dm_env_rpc server, for the client."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import dm_env
import numpy as np
from dm_env import specs
from dm_env_rpc.v1 import (
    dm_env_rpc_pb2,
    dm_env_utils,
    spec_manager,
    tensor_spec_utils,
    tensor_utils,
)

from mukoe.environments.dm_env_rpc.actions import Actions, describe, numpy_type
from mukoe.environments.dm_env_rpc.reserved_names import (
    ACTION_REPEAT,
    DISCOUNT,
    EPISODE_RESULT,
    LEGAL_ACTIONS,
    RESERVED,
    REWARD,
)
from mukoe.errors import UserError
from mukoe.types import EnvironmentSpec, EpisodeResult, MaskedObservation, Nest

# Unchanged dtypes. Other numbers, which JAX would truncate, are converted to float32.
_KEPT = frozenset(map(np.dtype, (np.float32, np.uint8, np.int8, np.int32, bool)))


class Step(NamedTuple):
    """Response to a step request.

    step_type: step type, from the current and the previous state of the sequence.
    reward: reward of the step.
    discount: discount of the step, as in `dm_env`.
    observation: observation with spec `Decoder.spec.observations`.
    result: result of the episode that has just ended; None within an episode, or if the server
        does not report results.
    """

    step_type: dm_env.StepType
    reward: float
    discount: float
    observation: Nest
    result: EpisodeResult | None


class Decoder:
    """Decoder of the specs and step responses of a server, and encoder of the agent's actions.

    spec: specs of the environment.
    offered: descriptions of the server's tensors by name.
    requested: uids of the observations to request.
    action_repeat: number of frames per step.
    reports_results: True if the server reports the `EpisodeResult` of a finished episode.
    """

    def __init__(
        self,
        offered: dm_env_rpc_pb2.ActionObservationSpecs,
        name: str,
        wanted: Sequence[str] = (),
        concatenate: bool = True,
    ):
        """Reads the specs of a server.

        Args:
          offered: specs from the response to a join request.
          name: server name for error messages.
          wanted: names of the observations to use; empty for all.
          concatenate: True to concatenate several observations; else they form a dict.

        Raises:
          UserError: the specs are not supported.
        """
        self._name = name
        self.offered: Mapping[str, str] = _describe_all(offered)
        self._observations = spec_manager.SpecManager(offered.observations)
        self._check_dtypes(offered)
        self._actions = Actions(offered.actions, name)
        self._check_reward()
        self._masked = LEGAL_ACTIONS in self._observations.names()
        self.reports_results = EPISODE_RESULT in self._observations.names()
        self.action_repeat = self._read_action_repeat()
        self._observed = self._choose(wanted)
        is_vector = len(self._observed) > 1 or self._is_scalar(self._observed[0])
        self._concatenated = concatenate and is_vector
        self.spec = EnvironmentSpec(
            observations=self._observation_spec(),
            actions=self._actions.spec,
            rewards=specs.Array((), np.float32, name="reward"),
            discounts=self._discount_spec(),
        )
        requested = [*self._observed, REWARD]
        requested += [n for n in (DISCOUNT, LEGAL_ACTIONS, EPISODE_RESULT) if self._offers(n)]
        # Name, shape and dtype by uid.
        self._types = {
            self._observations.name_to_uid(n): (n, *numpy_type(self._observations.name_to_spec(n)))
            for n in requested
        }
        self.requested = list(self._types)

    def check_same(self, expected: Mapping[str, str]) -> None:
        """Raises a UserError if `offered` differs from `expected`."""
        for tensor in {**expected, **self.offered}:
            before, now = (d.get(tensor, "not offered") for d in (expected, self.offered))
            if before != now:
                raise UserError(
                    f"{self._name}: the specs have changed: {tensor} was {before}, is {now}; "
                    "serve the environment with which the run started"
                )

    def encode_action(self, action: Any) -> Mapping[int, dm_env_rpc_pb2.Tensor]:
        """Encodes an action as tensors by uid."""
        return self._actions.pack(action)

    def decode(self, response: dm_env_rpc_pb2.StepResponse, is_first: bool) -> Step:
        """Decodes a step response.

        Args:
          response: response with the `requested` observations.
          is_first: True if it is the first of a sequence.

        Raises:
          ValueError: the response violates the specs, or a sequence starts in a final state.
        """
        values = {}
        for uid, (tensor, shape, dtype) in self._types.items():
            values[tensor] = array = self._read(tensor, response.observations.get(uid))
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(
                    f"observation '{tensor}' must have shape {shape}, dtype {dtype}; got shape "
                    f"{array.shape}, dtype {array.dtype}"
                )
        state = response.state
        running, terminated = state == dm_env_rpc_pb2.RUNNING, state == dm_env_rpc_pb2.TERMINATED
        if is_first and not running:
            name = dm_env_rpc_pb2.EnvironmentStateType.Name(state)
            raise ValueError(f"a sequence started in state {name}")
        step_type = dm_env.StepType.MID if running else dm_env.StepType.LAST
        return Step(
            step_type=dm_env.StepType.FIRST if is_first else step_type,
            reward=values[REWARD].item(),
            discount=self._read_discount(values, terminated),
            observation=self._observe(values),
            result=_read_result(values.get(EPISODE_RESULT)),
        )

    def _read(self, name: str, tensor: dm_env_rpc_pb2.Tensor | None) -> np.ndarray:
        if tensor is None:
            raise ValueError(f"the response has no observation '{name}'")
        return np.asarray(tensor_utils.unpack_tensor(tensor))

    def _offers(self, tensor: str) -> bool:
        return tensor in self._observations.names()

    def _check_dtypes(self, offered: dm_env_rpc_pb2.ActionObservationSpecs) -> None:
        for kind, tensors in (("action", offered.actions), ("observation", offered.observations)):
            for spec in tensors.values():
                where = f"{self._name}: {kind} '{spec.name}'"
                if spec.dtype not in _numbers():
                    dtype = dm_env_rpc_pb2.DataType.Name(spec.dtype)
                    raise UserError(f"{where} has dtype {dtype}; supported are numbers and BOOL")
                if min(spec.shape, default=0) < 0:
                    raise UserError(
                        f"{where} has the variable shape {list(spec.shape)}; "
                        "supported are fixed shapes"
                    )

    def _check_reward(self) -> None:
        if not self._offers(REWARD):
            raise UserError(
                f"{self._name} offers no observation '{REWARD}', only "
                f"{', '.join(sorted(self._observations.names())) or 'none'}; "
                "it must offer one, a scalar"
            )
        for tensor in (REWARD, DISCOUNT):
            if self._offers(tensor) and self._size(tensor) != 1:
                shape = list(self._observations.name_to_spec(tensor).shape)
                raise UserError(
                    f"{self._name}: observation '{tensor}' has shape {shape}; it must be one number"
                )
        if self._offers(EPISODE_RESULT) and self._size(EPISODE_RESULT) != 5:
            raise UserError(f"{self._name}: observation '{EPISODE_RESULT}' must have shape [5]")

    def _size(self, tensor: str) -> int:
        return math.prod(self._observations.name_to_spec(tensor).shape)

    def _is_scalar(self, tensor: str) -> bool:
        return not self._observations.name_to_spec(tensor).shape

    def _read_action_repeat(self) -> int:
        if not self._offers(ACTION_REPEAT):
            return 1
        bounds = tensor_spec_utils.bounds(self._observations.name_to_spec(ACTION_REPEAT))
        if np.size(bounds.min) != 1 or bounds.min != bounds.max or bounds.min < 1:
            raise UserError(
                f"{self._name}: observation '{ACTION_REPEAT}' must have one number of at least 1 "
                f"as its minimum and its maximum, not {bounds.min} and {bounds.max}"
            )
        return int(bounds.min)

    def _choose(self, wanted: Sequence[str]) -> list[str]:
        offered = sorted(set(self._observations.names()) - set(RESERVED))
        unknown = [tensor for tensor in wanted if tensor not in offered]
        if unknown or not offered:
            raise UserError(
                f"{self._name} offers no observation "
                f"{', '.join(unknown) or 'beside ' + ', '.join(RESERVED)}; "
                f"it offers {', '.join(sorted(self._observations.names()))}"
            )
        return list(wanted) or offered

    def _observation_spec(self) -> Nest:
        parts = {tensor: self._part_spec(tensor) for tensor in self._observed}
        features: Nest = parts
        if self._concatenated:
            self._check_flat(parts)
            width = sum(math.prod(spec.shape) for spec in parts.values())
            features = specs.Array((width,), np.float32, name="observation")
        elif len(parts) == 1:
            (features,) = parts.values()
        if not self._masked:
            return features
        legal = self._observations.name_to_spec(LEGAL_ACTIONS)
        actions = self._actions.spec
        if not isinstance(actions, specs.DiscreteArray) or numpy_type(legal) != (
            (actions.num_values,),
            np.dtype(bool),
        ):
            raise UserError(
                f"{self._name}: observation '{LEGAL_ACTIONS}' must be BOOL, one for each of "
                f"the discrete actions ({actions!r}); got {describe(legal)}"
            )
        return MaskedObservation(
            features, specs.Array((actions.num_values,), bool, name=LEGAL_ACTIONS)
        )

    def _part_spec(self, tensor: str) -> specs.Array:
        spec = dm_env_utils.tensor_spec_to_dm_env_spec(self._observations.name_to_spec(tensor))
        if spec.dtype in _KEPT:
            return spec
        return specs.Array(spec.shape, np.float32, name=tensor)

    def _check_flat(self, parts: Mapping[str, specs.Array]) -> None:
        for tensor, spec in parts.items():
            if len(spec.shape) > 1:
                raise UserError(
                    f"{self._name}: observation '{tensor}' has shape {list(spec.shape)}, and only "
                    f"parts with at most one axis can be concatenated; choose among "
                    f"{', '.join(parts)} by environment.observations, or set "
                    "environment.concatenate=false for an agent that takes a dict"
                )

    def _discount_spec(self) -> specs.BoundedArray:
        low, high = 0.0, 1.0
        if self._offers(DISCOUNT):
            bounds = tensor_spec_utils.bounds(self._observations.name_to_spec(DISCOUNT))
            # A discount of -1 passes the turn; the minimum declares that the server uses it.
            low = -1.0 if bounds.min == -1 else 0.0
        return specs.BoundedArray((), np.float32, low, high, name="discount")

    def _read_discount(self, values: Mapping[str, np.ndarray], terminated: bool) -> float:
        if self._offers(DISCOUNT):
            return values[DISCOUNT].item()
        return 0.0 if terminated else 1.0

    def _observe(self, values: Mapping[str, Any]) -> Nest:
        parts = {tensor: self._convert(values[tensor]) for tensor in self._observed}
        features: Nest = parts
        if self._concatenated:
            flat = [np.ravel(part).astype(np.float32) for part in parts.values()]
            features = np.concatenate(flat)
        elif len(parts) == 1:
            (features,) = parts.values()
        if self._masked:
            return MaskedObservation(features, values[LEGAL_ACTIONS])
        return features

    def _convert(self, array: np.ndarray) -> np.ndarray:
        return array if array.dtype in _KEPT else array.astype(np.float32)


def _read_result(numbers: np.ndarray | None) -> EpisodeResult | None:
    if numbers is None or np.isnan(numbers[0]):
        return None
    length, frames, seat, milestone = (int(number) for number in numbers[1:])
    return EpisodeResult(float(numbers[0]), length, frames, seat=seat, milestone=milestone)


def _numbers() -> frozenset[int]:
    """Returns the data types of numbers and booleans."""
    types = dm_env_rpc_pb2.DataType
    return frozenset(types.values()) - {types.INVALID_DATA_TYPE, types.STRING, types.PROTO}


def _describe_all(offered: dm_env_rpc_pb2.ActionObservationSpecs) -> dict[str, str]:
    described = {f"action '{s.name}'": describe(s) for s in offered.actions.values()}
    observations = offered.observations.values()
    return described | {f"observation '{s.name}'": describe(s) for s in observations}
