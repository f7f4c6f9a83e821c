"""Adapter of a dm_env_rpc server, on any machine and in any language, to dm_env."""

import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any

import dm_env
import numpy as np
from dm_env import specs
from dm_env_rpc.v1 import dm_env_rpc_pb2, error, tensor_utils

from mukoe.environments.dm_env_rpc.config import SCHEME, DmEnvRpcConfig
from mukoe.environments.dm_env_rpc.connection import (
    Connection,
    ConnectionLostError,
    closing_after_failure,
    describe,
)
from mukoe.environments.dm_env_rpc.decoder import Decoder, Step
from mukoe.errors import UserError
from mukoe.types import EpisodeResult, Nest

_LOGGER = logging.getLogger(__name__)

_MAX_BACKOFF = 5.0
_LEAVE_TIMEOUT = 2.0


class DmEnvRpcEnvironment(dm_env.Environment):
    """One environment: a connection to a server and a world on it.

    Requests can be sent asynchronously (`begin_reset`, `begin_step`), so that many environments
    step concurrently. After a lost connection the environment reconnects to a new world with
    another seed; pending requests of the lost connection have no response.

    decoder: decoder of the server's messages.
    """

    def __init__(
        self,
        config: DmEnvRpcConfig,
        seed: int,
        evaluation: bool,
        expected: Mapping[str, str] | None = None,
    ):
        """Connects to the server and joins a new world.

        Args:
            config: settings of the connection.
            seed: seed of the world.
            evaluation: True for an evaluation environment.
            expected: required value of `Decoder.offered`; None for any.

        Raises:
            UserError: the server is unreachable, or its specs are not supported.
        """
        self._config = config
        self._seed = seed
        self._evaluation = evaluation
        self._expected = expected
        self._connection: Connection | None = None
        # Kinds of the pending responses, in order.
        self._pending: list[str] = []
        self._world = ""
        self._response: Step | Exception | None = None
        # True if the next step request starts a sequence.
        self._ended = True
        self._losses = 0
        self._worlds = 0
        self.decoder: Decoder
        self._connect_until(time.monotonic() + config.reconnect_seconds)

    @property
    def action_repeat(self) -> int:
        """Frames per step according to the server; 1 by default."""
        return self.decoder.action_repeat

    def observation_spec(self) -> Nest:
        """Returns the spec of one array, a dict of arrays, or a `MaskedObservation` of these."""
        return self.decoder.spec.observations

    def action_spec(self) -> specs.BoundedArray:
        """Returns the spec of the action: int32 in 0..A-1, or float32 `[D]` in [-1, 1]."""
        return self.decoder.spec.actions

    def reward_spec(self) -> specs.Array:
        """Returns the spec of the reward, `[]` float32."""
        return self.decoder.spec.rewards

    def discount_spec(self) -> specs.BoundedArray:
        """Returns the spec of the discount, `[]` float32; the minimum is -1 in two-player games."""
        return self.decoder.spec.discounts

    def begin_reset(self) -> None:
        """Sends the request for a new episode."""
        if not self._ended:
            self._send(dm_env_rpc_pb2.ResetRequest(), "reset")
            self._ended = True
        self._send_step({})

    def begin_step(self, action: Any) -> None:
        """Sends a step request; after LAST, requests a new episode and ignores the action."""
        self._send_step({} if self._ended else self.decoder.encode_action(action))

    def wait(self) -> bool:
        """Waits for the pending responses and reconnects to a lost server.

        The next call of `step` or `reset` returns the response, after a loss the FIRST step of a
        new episode.

        Returns:
            False if the server was lost.

        Raises:
            UserError: the reconnection timed out, or `max_losses` is exceeded.
        """
        until, lost = 0.0, False
        while self._pending:
            try:
                self._receive()
            except ConnectionLostError as loss:
                until = until or time.monotonic() + self._config.reconnect_seconds
                lost = True
                self._recover(loss, until)
        return not lost

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode."""
        if self._response is None:
            self.begin_reset()
            self.wait()
        return self._take()

    def step(self, action: Any) -> dm_env.TimeStep:
        """Applies an action; after LAST or a loss, starts an episode instead."""
        if self._response is None:
            self.begin_step(action)
            self.wait()
        return self._take()

    def close(self) -> None:
        """Leaves and destroys the world and closes the connection."""
        if self._connection is not None:
            if not self._pending:
                self._leave(self._connection)
            self._connection.close()
            self._connection = None

    def _leave(self, connection: Connection) -> None:
        destroy = dm_env_rpc_pb2.DestroyWorldRequest(world_name=self._world)
        with contextlib.suppress(ConnectionLostError, error.DmEnvRpcError, ValueError):
            connection.send(dm_env_rpc_pb2.LeaveWorldRequest())
            connection.send(destroy)
            connection.receive("leave_world", _LEAVE_TIMEOUT)
            connection.receive("destroy_world", _LEAVE_TIMEOUT)

    def _take(self) -> dm_env.TimeStep:
        response, self._response = self._response, None
        if isinstance(response, Exception):
            raise response
        assert response is not None
        if response.step_type == dm_env.StepType.FIRST:
            return dm_env.restart(response.observation)
        return dm_env.TimeStep(
            response.step_type, response.reward, response.discount, response.observation
        )

    def _send_step(self, actions: Any) -> None:
        requested = self.decoder.requested
        request = dm_env_rpc_pb2.StepRequest(requested_observations=requested, actions=actions)
        self._send(request, "step")

    def _send(self, request: Any, kind: str) -> None:
        assert self._connection is not None, "the environment was closed"
        self._connection.send(request)
        self._pending.append(kind)

    def _receive(self) -> None:
        assert self._connection is not None, "the environment was closed"
        kind = self._pending[0]
        try:
            response = self._connection.receive(kind, self._config.response_seconds)
            step = self.decoder.decode(response, self._ended) if kind == "step" else None
        except error.DmEnvRpcError as rejection:
            self._response = self._response or RuntimeError(
                f"the server reports: {describe(rejection)}"
            )
        except (ValueError, KeyError, TypeError) as failure:
            self._response = self._response or failure
        else:
            # A rejected reset stays the response: the next step continues the old episode.
            self._response = self._response or step
            self._ended = step is None or step.step_type == dm_env.StepType.LAST
            if self._ended and step is not None:
                self._losses = 0
        self._pending.pop(0)

    def _recover(self, loss: Exception, until: float) -> None:
        self._losses += 1
        where = self._config.address
        if self._losses > self._config.max_losses:
            raise UserError(
                f"{where}: lost {self._losses} times without a finished episode in between "
                f"({loss}); fix the server, or raise environment.max_losses"
            )
        _LOGGER.warning("%s: lost (%s); a new episode starts after the reconnection", where, loss)
        self._connect_until(until)
        self.begin_reset()

    def _connect_until(self, until: float) -> None:
        """Connects and joins a world, with retries and back-off until time `until`."""
        backoff = 0.1
        while True:
            self.close()
            try:
                self._connect(max(0.1, until - time.monotonic()))
                return
            except ConnectionLostError as loss:
                if time.monotonic() + backoff > until:
                    raise UserError(
                        f"no dm_env_rpc server at {self._config.address}: {loss}; start one, "
                        "such as mukoe serve_environment --env=CartPole-v1 --port=PORT"
                    ) from loss
            time.sleep(backoff)
            backoff = min(2 * backoff, _MAX_BACKOFF)

    def _connect(self, connect_seconds: float) -> None:
        config = self._config
        connection = Connection(config.address.removeprefix(SCHEME), connect_seconds)
        with closing_after_failure(connection):
            offered = self._join(connection)
            self.decoder = Decoder(offered, config.address, config.observations, config.concatenate)
            if self._expected is not None:
                self.decoder.check_same(self._expected)
        self._expected = self.decoder.offered
        self._connection = connection
        self._pending, self._response, self._ended = [], None, True
        self._worlds += 1

    def _join(self, connection: Connection) -> Any:
        """Creates and joins a world, and returns its specs."""

        def request_response(kind: str, request: Any) -> Any:
            connection.send(request)
            try:
                return connection.receive(kind, self._config.response_seconds)
            except (error.DmEnvRpcError, ValueError) as failure:
                text = describe(failure) if isinstance(failure, error.DmEnvRpcError) else failure
                raise UserError(
                    f"{self._config.address}: {kind} was rejected: {text} (sent "
                    f"settings {', '.join(settings) or 'none'}; see environment.seed_setting "
                    "and environment.evaluation_setting)"
                ) from failure

        settings = self._settings()
        create = dm_env_rpc_pb2.CreateWorldRequest(settings=settings)
        self._world = request_response("create_world", create).world_name
        join = dm_env_rpc_pb2.JoinWorldRequest(world_name=self._world)
        return request_response("join_world", join).specs

    def _settings(self) -> dict[str, Any]:
        settings, config = {}, self._config
        if config.seed_setting is not None:
            seed = self._seed
            if self._worlds:
                sequence = np.random.SeedSequence(self._seed, spawn_key=(self._worlds,))
                seed = int(sequence.generate_state(1)[0])
            settings[config.seed_setting] = tensor_utils.pack_tensor(seed, np.int64)
        if config.evaluation_setting is not None:
            settings[config.evaluation_setting] = tensor_utils.pack_tensor(self._evaluation, bool)
        return settings


class ReportingEnvironment(DmEnvRpcEnvironment):
    """Environment whose server reports the episode results, see `ReportsEpisodes`."""

    _result: EpisodeResult | None = None

    def episode_result(self) -> EpisodeResult | None:
        """Returns the result of the episode that has just ended; None if not reported."""
        return self._result

    def _take(self) -> dm_env.TimeStep:
        response = self._response
        self._result = (
            None if response is None or isinstance(response, Exception) else response.result
        )
        return super()._take()
