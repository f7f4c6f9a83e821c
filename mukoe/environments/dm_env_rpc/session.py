"""Session of a dm_env_rpc client on the server."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import dm_env
import numpy as np
from absl import logging
from dm_env_rpc.v1 import dm_env_rpc_pb2, tensor_utils
from google.rpc import code_pb2, status_pb2

from mukoe.environments.dm_env_rpc.encoder import Encoder
from mukoe.environments.dm_env_rpc.single import MakeEnvironment
from mukoe.environments.vector import ReportsEpisodes
from mukoe.errors import UserError


class Session:
    """State of one client: its worlds, and the environment of the world that it has joined."""

    def __init__(self, make_environment: MakeEnvironment, encoder: Encoder):
        """Starts a session without worlds."""
        self._make_environment = make_environment
        self._encoder = encoder
        self._worlds: dict[str, Mapping[str, Any]] = {}
        self._joined: str | None = None
        self._environment: dm_env.Environment | None = None
        # True if the next step starts an episode.
        self._ended = True

    def respond(
        self, request: dm_env_rpc_pb2.EnvironmentRequest
    ) -> dm_env_rpc_pb2.EnvironmentResponse:
        """Returns the response to a request; errors are responses, too."""
        kind = request.WhichOneof("payload")
        methods: dict[str | None, Callable[[Any], Any]] = {
            "create_world": self._create_world,
            "join_world": self._join_world,
            "reset": self._reset,
            "step": self._step,
            "reset_world": self._reset_world,
            "leave_world": self._leave_world,
            "destroy_world": self._destroy_world,
        }
        try:
            if kind not in methods:
                raise ValueError(f"requests of kind '{kind}' are not supported")
            response = methods[kind](getattr(request, kind))
            return dm_env_rpc_pb2.EnvironmentResponse(**{kind: response})
        except (ValueError, TypeError, UserError) as error:
            code, text = code_pb2.INVALID_ARGUMENT, str(error)
        except Exception as error:  # any error of the environment
            logging.exception("an environment failed")
            code, text = code_pb2.INTERNAL, f"{type(error).__name__}: {error}"
        status = status_pb2.Status(code=code, message=" ".join(text.split()))
        return dm_env_rpc_pb2.EnvironmentResponse(error=status)

    def leave(self) -> None:
        """Closes the environment of the joined world, if any."""
        environment, self._environment, self._joined = self._environment, None, None
        if environment is not None:
            environment.close()

    def _create_world(self, request: Any) -> dm_env_rpc_pb2.CreateWorldResponse:
        settings = _read_settings(request.settings)
        name = uuid.uuid4().hex
        self._worlds[name] = settings
        return dm_env_rpc_pb2.CreateWorldResponse(world_name=name)

    def _join_world(self, request: Any) -> dm_env_rpc_pb2.JoinWorldResponse:
        if self._environment is not None:
            raise ValueError("this connection has joined a world already; leave it first")
        self._check_world(request.world_name)
        settings = {**self._worlds[request.world_name], **_read_settings(request.settings)}
        seed = settings.get("seed", np.random.SeedSequence().generate_state(1)[0])
        self._environment = self._make_environment(int(seed), settings.get("evaluation", False))
        self._joined, self._ended = request.world_name, True
        return dm_env_rpc_pb2.JoinWorldResponse(specs=self._encoder.specs)

    def _reset(self, request: Any) -> dm_env_rpc_pb2.ResetResponse:
        _reject_settings(request.settings)
        self._require_environment()
        self._ended = True
        return dm_env_rpc_pb2.ResetResponse(specs=self._encoder.specs)

    def _step(self, request: Any) -> dm_env_rpc_pb2.StepResponse:
        environment = self._require_environment()
        self._encoder.check_requested(request.requested_observations)
        if self._ended:
            timestep = environment.reset()
        else:
            timestep = environment.step(self._encoder.decode_action(request.actions))
        self._ended = timestep.last()
        result = None
        if self._ended and isinstance(environment, ReportsEpisodes):
            result = environment.episode_result()
        return self._encoder.encode(timestep, result, request.requested_observations)

    def _reset_world(self, request: Any) -> dm_env_rpc_pb2.ResetWorldResponse:
        _reject_settings(request.settings)
        self._check_world(request.world_name)
        if self._joined == request.world_name:
            self._ended = True
        return dm_env_rpc_pb2.ResetWorldResponse()

    def _leave_world(self, request: Any) -> dm_env_rpc_pb2.LeaveWorldResponse:
        del request
        self.leave()
        return dm_env_rpc_pb2.LeaveWorldResponse()

    def _destroy_world(self, request: Any) -> dm_env_rpc_pb2.DestroyWorldResponse:
        self._check_world(request.world_name)
        if self._joined == request.world_name:
            raise ValueError("this connection has joined that world; leave it first")
        del self._worlds[request.world_name]
        return dm_env_rpc_pb2.DestroyWorldResponse()

    def _check_world(self, name: str) -> None:
        if name not in self._worlds:
            raise ValueError(f"this connection has created no world '{name}'")

    def _require_environment(self) -> dm_env.Environment:
        if self._environment is None:
            raise ValueError("this connection has joined no world")
        return self._environment


def _read_settings(settings: Mapping[str, dm_env_rpc_pb2.Tensor]) -> dict[str, Any]:
    """Returns the decoded settings of a world: `seed`, an integer, and `evaluation`, a boolean."""
    kinds = {"seed": ("iu", "an integer from 0 to 4294967295"), "evaluation": ("b", "a boolean")}
    values = {}
    for name, tensor in settings.items():
        if name not in kinds:
            raise ValueError(f"there is no setting '{name}'; known are {', '.join(kinds)}")
        value = np.asarray(tensor_utils.unpack_tensor(tensor))
        kind, words = kinds[name]
        if value.shape != () or value.dtype.kind not in kind or not 0 <= int(value) < 2**32:
            raise ValueError(f"the setting '{name}' must be {words}; got {value}")
        values[name] = value.item()
    return values


def _reject_settings(settings: Mapping[str, dm_env_rpc_pb2.Tensor]) -> None:
    if settings:
        raise ValueError(f"a reset takes no settings; got {', '.join(settings)}")
