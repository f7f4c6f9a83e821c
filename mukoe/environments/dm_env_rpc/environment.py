"""Environments in another process, machine or language, behind dm_env_rpc."""

import contextlib
import time
from collections.abc import Mapping
from typing import Any

import dm_env
import numpy as np
from absl import logging
from dm_env import specs
from dm_env_rpc.v1 import dm_env_rpc_pb2, error, tensor_utils

from mukoe.environments.dm_env_rpc.config import SCHEME, DmEnvRpcConfig
from mukoe.environments.dm_env_rpc.connection import (
    Connection,
    ConnectionLostError,
    closing_after_failure,
    describe,
)
from mukoe.environments.dm_env_rpc.specs import Step, Translation
from mukoe.errors import UserError
from mukoe.types import EpisodeResult, Nest

_LONGEST_PAUSE = 5.0
_LEAVE_SECONDS = 2.0


class DmEnvRpcEnvironment(dm_env.Environment):
    """One environment: a world of its own at the server, and the connection to it.

    What is asked of it can be sent before its answer is needed (`begin_reset`, `begin_step`),
    so that many environments work at the same time. A lost connection is made anew, with a new
    world of another seed; what was asked of the lost one has no answer.

    translation: of the server's messages.
    """

    def __init__(
        self,
        config: DmEnvRpcConfig,
        seed: int,
        evaluation: bool,
        expected: Mapping[str, str] | None = None,
    ):
        """Connects.

        Args:
            config: which server, and how.
            seed: of the world.
            evaluation: whether it is for evaluation.
            expected: the `Translation.offered` that it must still be; None for any.

        Raises:
            UserError: the server cannot be reached, or what it offers is of no use here.
        """
        self._config = config
        self._seed = seed
        self._evaluation = evaluation
        self._expected = expected
        self._connection: Connection | None = None
        # The kinds of the answers that are still to come, in order.
        self._awaited: list[str] = []
        self._world = ""
        self._answer: Step | Exception | None = None
        # Whether the next step request begins a sequence.
        self._ended = True
        self._losses = 0
        self._worlds = 0
        self.translation: Translation
        self._connect_until(time.monotonic() + config.reconnect_seconds)

    @property
    def action_repeat(self) -> int:
        """Frames of each step, as the server says; 1 where it does not."""
        return self.translation.action_repeat

    def observation_spec(self) -> Nest:
        """Returns one array, a dict of arrays, or one of these with the legal actions."""
        return self.translation.spec.observations

    def action_spec(self) -> specs.BoundedArray:
        """Returns the number of actions (`DiscreteArray`), or the length of one and its bounds."""
        return self.translation.spec.actions

    def reward_spec(self) -> specs.Array:
        """Returns a float32."""
        return self.translation.spec.rewards

    def discount_spec(self) -> specs.BoundedArray:
        """Returns a float32; its minimum is -1 where turns are passed."""
        return self.translation.spec.discounts

    def begin_reset(self) -> None:
        """Asks for a new episode."""
        if not self._ended:
            self._send(dm_env_rpc_pb2.ResetRequest(), "reset")
            self._ended = True
        self._send_step({})

    def begin_step(self, action: Any) -> None:
        """Asks for a step; for a new episode where one has ended, whatever the action."""
        self._send_step({} if self._ended else self.translation.pack_action(action))

    def wait(self) -> bool:
        """Waits for what was asked; False where the server was lost meanwhile.

        What `step` or `reset` return next is the answer. After a loss it is the start of a new
        episode, of which the first answer has come.

        Raises:
            UserError: the server was looked for in vain, or is lost again and again.
        """
        until, lost = 0.0, False
        while self._awaited:
            try:
                self._receive()
            except ConnectionLostError as loss:
                until = until or time.monotonic() + self._config.reconnect_seconds
                lost = True
                self._recover(loss, until)
        return not lost

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode."""
        if self._answer is None:
            self.begin_reset()
            self.wait()
        return self._take()

    def step(self, action: Any) -> dm_env.TimeStep:
        """Takes an action; starts an episode where the last one has ended or was lost."""
        if self._answer is None:
            self.begin_step(action)
            self.wait()
        return self._take()

    def close(self) -> None:
        """Leaves and destroys the world, and closes the connection."""
        if self._connection is not None:
            if not self._awaited:
                self._leave(self._connection)
            self._connection.close()
            self._connection = None

    def _leave(self, connection: Connection) -> None:
        destroy = dm_env_rpc_pb2.DestroyWorldRequest(world_name=self._world)
        with contextlib.suppress(ConnectionLostError, error.DmEnvRpcError, ValueError):
            connection.send(dm_env_rpc_pb2.LeaveWorldRequest())
            connection.send(destroy)
            connection.receive("leave_world", _LEAVE_SECONDS)
            connection.receive("destroy_world", _LEAVE_SECONDS)

    def _take(self) -> dm_env.TimeStep:
        answer, self._answer = self._answer, None
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        if answer.step_type == dm_env.StepType.FIRST:
            return dm_env.restart(answer.observation)
        return dm_env.TimeStep(answer.step_type, answer.reward, answer.discount, answer.observation)

    def _send_step(self, actions: Any) -> None:
        requested = self.translation.requested
        request = dm_env_rpc_pb2.StepRequest(requested_observations=requested, actions=actions)
        self._send(request, "step")

    def _send(self, request: Any, kind: str) -> None:
        assert self._connection is not None, "the environment was closed"
        self._connection.send(request)
        self._awaited.append(kind)

    def _receive(self) -> None:
        assert self._connection is not None, "the environment was closed"
        kind = self._awaited[0]
        try:
            answer = self._connection.receive(kind, self._config.answer_seconds)
            step = self.translation.unpack(answer, self._ended) if kind == "step" else None
        except error.DmEnvRpcError as refusal:
            self._answer = self._answer or RuntimeError(f"the server says: {describe(refusal)}")
        except (ValueError, KeyError, TypeError) as wrong:
            self._answer = self._answer or wrong
        else:
            # A refused reset stays the answer: the step after it goes on with the old episode.
            self._answer = self._answer or step
            self._ended = step is None or step.step_type == dm_env.StepType.LAST
            if self._ended and step is not None:
                self._losses = 0
        self._awaited.pop(0)

    def _recover(self, loss: Exception, until: float) -> None:
        self._losses += 1
        where = self._config.address
        if self._losses > self._config.max_losses:
            raise UserError(
                f"{where}: lost {self._losses} times without an ended episode in between "
                f"({loss}); see why the server ends, or raise environment.max_losses"
            )
        logging.warning("%s: lost (%s); a new episode begins when it is back", where, loss)
        self._connect_until(until)
        self.begin_reset()

    def _connect_until(self, until: float) -> None:
        """Makes a connection and a world, and tries again until it has to be there."""
        pause = 0.1
        while True:
            self.close()
            try:
                self._connect(max(0.1, until - time.monotonic()))
                return
            except ConnectionLostError as loss:
                if time.monotonic() + pause > until:
                    raise UserError(
                        f"no dm_env_rpc server at {self._config.address}: {loss}; start one, "
                        "such as programs/serve_environment.py --env=CartPole-v1 --port=PORT"
                    ) from loss
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _connect(self, connect_seconds: float) -> None:
        config = self._config
        connection = Connection(config.address.removeprefix(SCHEME), connect_seconds)
        with closing_after_failure(connection):
            offered = self._join(connection)
            self.translation = Translation(
                offered, config.address, config.observations, config.concatenate
            )
            if self._expected is not None:
                self.translation.check_same(self._expected)
        self._expected = self.translation.offered
        self._connection = connection
        self._awaited, self._answer, self._ended = [], None, True
        self._worlds += 1

    def _join(self, connection: Connection) -> Any:
        """Creates a world and joins it; returns what it offers."""

        def ask(kind: str, request: Any) -> Any:
            connection.send(request)
            try:
                return connection.receive(kind, self._config.answer_seconds)
            except (error.DmEnvRpcError, ValueError) as wrong:
                text = describe(wrong) if isinstance(wrong, error.DmEnvRpcError) else wrong
                raise UserError(
                    f"{self._config.address}: {kind} was refused: {text} (it was told the "
                    f"settings {', '.join(settings) or 'none'}; see environment.seed_setting "
                    "and environment.evaluation_setting)"
                ) from wrong

        settings = self._settings()
        create = dm_env_rpc_pb2.CreateWorldRequest(settings=settings)
        self._world = ask("create_world", create).world_name
        join = dm_env_rpc_pb2.JoinWorldRequest(world_name=self._world)
        return ask("join_world", join).specs

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
    """One whose server counts the episodes."""

    _result: EpisodeResult | None = None

    def episode_result(self) -> EpisodeResult | None:
        """Returns what the server said of the episode that has just ended, if anything."""
        return self._result

    def _take(self) -> dm_env.TimeStep:
        answer = self._answer
        self._result = None if answer is None or isinstance(answer, Exception) else answer.result
        return super()._take()
