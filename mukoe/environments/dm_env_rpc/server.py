"""A dm_env_rpc server of any environment: each client's worlds are its own."""

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from typing import Any

import dm_env
import grpc
import numpy as np
import tree
from absl import logging
from dm_env import specs
from dm_env_rpc.v1 import (
    dm_env_rpc_pb2,
    dm_env_rpc_pb2_grpc,
    dm_env_utils,
    tensor_utils,
)
from google.rpc import code_pb2, status_pb2

from mukoe.environments.dm_env_rpc.specs import (
    ACTION_REPEAT,
    DISCOUNT,
    EPISODE_RESULT,
    LEGAL_ACTIONS,
    RESERVED,
    REWARD,
)
from mukoe.environments.sync_vector import SyncFactory
from mukoe.environments.vector import (
    EnvironmentFactory,
    ReportsEpisodes,
    VectorEnvironment,
    environment_spec,
)
from mukoe.errors import UserError
from mukoe.types import EpisodeResult, MaskedObservation, Nest

MakeEnvironment = Callable[[int, bool], dm_env.Environment]
"""`make_environment(seed, evaluation)`."""

_SERVER_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A second server at the same port is a mistake.
    ("grpc.so_reuseport", 0),
    # A client whose machine has gone is noticed.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)
_RUNNING, _TERMINATED, _INTERRUPTED = (
    dm_env_rpc_pb2.RUNNING,
    dm_env_rpc_pb2.TERMINATED,
    dm_env_rpc_pb2.INTERRUPTED,
)
_ACTION = 1
_GRACE_SECONDS = 1.0
_STOP_SECONDS = 3.0


def single_environments(factory: EnvironmentFactory) -> MakeEnvironment:
    """Returns what makes one environment of a factory of vectors.

    With the seed of an environment in a vector it is that environment, where vectors consist of
    single ones; otherwise it is a vector of one.
    """
    if isinstance(factory, SyncFactory):
        return factory.make_environment
    return lambda seed, evaluation: _OneOfVector(factory(seed, 1, evaluation))


class Server:
    """Serves environments until it is stopped.

    port: that it listens to.
    """

    def __init__(
        self, make_environment: MakeEnvironment, host: str, port: int, max_clients: int, name: str
    ):
        """Starts to serve.

        Args:
          make_environment: `make_environment(seed, evaluation)`; one is made at once, to see
            what it is.
          host: interface to listen at, such as 127.0.0.1.
          port: to listen to; 0 for a free one.
          max_clients: connections at a time; one more is refused.
          name: of the environment, for error messages.

        Raises:
          UserError: the port cannot be used, or dm_env_rpc cannot carry what the environment
            takes and gives.
        """
        first = make_environment(0, False)
        offer = Offer(first, name)
        first.close()
        self._servicer = _Servicer(make_environment, offer)
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_clients, thread_name_prefix="client"),
            options=_SERVER_OPTIONS,
            maximum_concurrent_rpcs=max_clients,
        )
        dm_env_rpc_pb2_grpc.add_EnvironmentServicer_to_server(self._servicer, self._server)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise UserError(
                f"cannot listen at {address}: it is in use or not of this machine; give another "
                "--port or --host"
            ) from error
        self._server.start()

    @property
    def clients(self) -> int:
        """Connections that there are."""
        return self._servicer.clients

    def stop(self) -> bool:
        """Ends all connections; returns whether every environment was closed within seconds."""
        self._server.stop(_GRACE_SECONDS).wait(_GRACE_SECONDS + _STOP_SECONDS)
        return self._servicer.wait_until_idle(_STOP_SECONDS)


class Offer:
    """What an environment takes and gives, as dm_env_rpc says it.

    specs: for a client.
    """

    def __init__(self, environment: dm_env.Environment, name: str):
        """Reads the specs of an environment.

        Raises:
          UserError: dm_env_rpc cannot carry them.
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

    def read_action(self, tensors: Mapping[int, dm_env_rpc_pb2.Tensor]) -> Any:
        """Returns the action of a step request.

        Raises:
          ValueError: it is not the one action, of the right type and within its bounds.
        """
        if set(tensors) != {_ACTION}:
            raise ValueError(f"the uid of the action is {_ACTION}; got {sorted(tensors) or 'none'}")
        return self._action.validate(np.asarray(tensor_utils.unpack_tensor(tensors[_ACTION])))[()]

    def check_requested(self, uids: Any) -> None:
        """Raises a ValueError where an observation is requested that is not offered."""
        for uid in uids:
            if uid not in self._observations:
                raise ValueError(f"there is no observation with the uid {uid}")

    def write(
        self, timestep: dm_env.TimeStep, result: EpisodeResult | None, requested: Any
    ) -> dm_env_rpc_pb2.StepResponse:
        """Returns a time step as an answer with the observations of these uids."""
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
                f"{self._name}: an observation may not be called {', '.join(taken)}, which has a "
                "meaning of its own; rename it"
            )

    def _tensor_spec(self, spec: specs.Array) -> dm_env_rpc_pb2.TensorSpec:
        try:
            return dm_env_utils.dm_env_spec_to_tensor_spec(spec)
        except (TypeError, ValueError) as error:
            raise UserError(f"{self._name}: dm_env_rpc cannot carry {spec!r}: {error}") from error


class _Servicer(dm_env_rpc_pb2_grpc.EnvironmentServicer):
    """Each connection is a stream of requests, answered by one thread."""

    def __init__(self, make_environment: MakeEnvironment, offer: Offer):
        self._make_environment = make_environment
        self._offer = offer
        self._changed = threading.Condition()
        self.clients = 0

    def Process(  # noqa: N802
        self, requests: Iterator[dm_env_rpc_pb2.EnvironmentRequest], context: grpc.ServicerContext
    ) -> Iterator[dm_env_rpc_pb2.EnvironmentResponse]:
        """Answers every request of a client; closes its environment when it is gone."""
        del context
        self._count(1)
        session = _Session(self._make_environment, self._offer)
        try:
            for request in requests:
                yield session.answer(request)
        finally:
            session.leave()
            self._count(-1)

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Waits until there are no clients; returns whether it is so."""
        with self._changed:
            return self._changed.wait_for(lambda: self.clients == 0, timeout_s)

    def _count(self, change: int) -> None:
        with self._changed:
            self.clients += change
            self._changed.notify_all()


class _Session:
    """One client: the worlds that it has created, and the environment of the one it is in."""

    def __init__(self, make_environment: MakeEnvironment, offer: Offer):
        self._make_environment = make_environment
        self._offer = offer
        self._worlds: dict[str, Mapping[str, Any]] = {}
        self._joined: str | None = None
        self._environment: dm_env.Environment | None = None
        # The next step begins an episode.
        self._ended = True

    def answer(
        self, request: dm_env_rpc_pb2.EnvironmentRequest
    ) -> dm_env_rpc_pb2.EnvironmentResponse:
        """Does what is asked; an error is an answer, too."""
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
            answer = methods[kind](getattr(request, kind))
            return dm_env_rpc_pb2.EnvironmentResponse(**{kind: answer})
        except (ValueError, TypeError, UserError) as error:
            code, text = code_pb2.INVALID_ARGUMENT, str(error)
        except Exception as error:  # whatever the environment raises
            logging.exception("an environment failed")
            code, text = code_pb2.INTERNAL, f"{type(error).__name__}: {error}"
        status = status_pb2.Status(code=code, message=" ".join(text.split()))
        return dm_env_rpc_pb2.EnvironmentResponse(error=status)

    def leave(self) -> None:
        """Closes the environment, if there is one."""
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
        return dm_env_rpc_pb2.JoinWorldResponse(specs=self._offer.specs)

    def _reset(self, request: Any) -> dm_env_rpc_pb2.ResetResponse:
        _refuse_settings(request.settings)
        self._require_environment()
        self._ended = True
        return dm_env_rpc_pb2.ResetResponse(specs=self._offer.specs)

    def _step(self, request: Any) -> dm_env_rpc_pb2.StepResponse:
        environment = self._require_environment()
        self._offer.check_requested(request.requested_observations)
        if self._ended:
            timestep = environment.reset()
        else:
            timestep = environment.step(self._offer.read_action(request.actions))
        self._ended = timestep.last()
        result = None
        if self._ended and isinstance(environment, ReportsEpisodes):
            result = environment.episode_result()
        return self._offer.write(timestep, result, request.requested_observations)

    def _reset_world(self, request: Any) -> dm_env_rpc_pb2.ResetWorldResponse:
        _refuse_settings(request.settings)
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
            raise ValueError("this connection is in that world; leave it first")
        del self._worlds[request.world_name]
        return dm_env_rpc_pb2.DestroyWorldResponse()

    def _check_world(self, name: str) -> None:
        if name not in self._worlds:
            raise ValueError(f"this connection has created no world '{name}'")

    def _require_environment(self) -> dm_env.Environment:
        if self._environment is None:
            raise ValueError("this connection has joined no world")
        return self._environment


class _OneOfVector(dm_env.Environment):
    """A vector of one environment as that environment."""

    def __init__(self, vector: VectorEnvironment):
        self._vector = vector
        self._ended = False
        actions = vector.spec.actions
        self._any_action = np.broadcast_to(actions.minimum, actions.shape).astype(actions.dtype)
        self.action_repeat = vector.action_repeat
        self._results: list[EpisodeResult] = []

    def observation_spec(self) -> Nest:
        return self._vector.spec.observations

    def action_spec(self) -> specs.BoundedArray:
        return self._vector.spec.actions

    def reward_spec(self) -> specs.Array:
        return self._vector.spec.rewards

    def discount_spec(self) -> specs.BoundedArray:
        return self._vector.spec.discounts

    def reset(self) -> dm_env.TimeStep:
        # Behind an episode's end the vector goes on by itself, as it does elsewhere.
        if self._ended:
            return self.step(self._any_action)
        return self._only(self._vector.reset())

    def step(self, action: Any) -> dm_env.TimeStep:
        return self._only(self._vector.step(np.asarray(action)[None]))

    def episode_result(self) -> EpisodeResult | None:
        return self._results[0] if self._results else None

    def close(self) -> None:
        self._vector.close()

    def _only(self, timestep: dm_env.TimeStep) -> dm_env.TimeStep:
        self._results = self._vector.finished_episodes()
        only = tree.map_structure(lambda leaf: leaf[0], timestep)
        self._ended = bool(only.last())
        return only


def _named(nest: Nest) -> Iterator[tuple[str, Any]]:
    """Yields the leaves of an observation by name: keys and indices with dots between them."""
    for path, leaf in tree.flatten_with_path(nest):
        yield ".".join(map(str, path)) or "observation", leaf


def _numbers_of(result: EpisodeResult | None) -> np.ndarray:
    if result is None:
        return np.full(5, np.nan)
    numbers = (result.episode_return, result.length, result.frames, result.seat, result.milestone)
    return np.array(numbers, np.float64)


def _read_settings(settings: Mapping[str, dm_env_rpc_pb2.Tensor]) -> dict[str, Any]:
    """Returns the settings of a world: `seed`, an integer, and `evaluation`, a boolean."""
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


def _refuse_settings(settings: Mapping[str, dm_env_rpc_pb2.Tensor]) -> None:
    if settings:
        raise ValueError(f"a reset takes no settings; got {', '.join(settings)}")
