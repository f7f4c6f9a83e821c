"""Connection of an actor to its inference servers, with failover."""

import time
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any, NamedTuple, TypeVar

import numpy as np

from mukoe.acting.inference.calls import (
    NO_SESSION,
    last_line,
    pause,
    raise_if_refused,
    result_of,
    start_call,
)
from mukoe.acting.inference.config import InferenceConfig
from mukoe.acting.inference.requests import Answer
from mukoe.observability.timings import Timings

_MOVE_SECONDS = 5.0
# Longest wait for a server that is compiling.
_COMPILE_SECONDS = 1200.0

T = TypeVar("T")


class Inputs(NamedTuple):
    """Inputs of a request, see `InferenceServer.submit`."""

    leaves: Sequence[np.ndarray]
    is_first: np.ndarray
    previous_action: np.ndarray | None = None


class _StillCompiling(TimeoutError):
    """A server is available but still compiles."""


class ServerConnection:
    """A session on one of several servers.

    If a server does not respond, or has lost the session, the connection fails over to the next
    server and repeats the request. The policy's memory starts blank there: until the episode ends
    or its history is filled again, the policy has a shorter history.

    moves: number of failovers.
    """

    def __init__(
        self,
        servers: Sequence[Any],
        name: str,
        num_envs: int,
        config: InferenceConfig,
        should_stop: Callable[[], bool] = lambda: False,
        timings: Timings | None = None,
    ):
        """Stores the servers; `open` must be called before the first request.

        Args:
          servers: servers in order of preference, each an `InferenceServer` or a remote client of
            one. Clients should not wait for an unavailable server (`wait_for_ready=False`), so
            that calls to a dead server fail at once.
          name: unique name of the session.
          num_envs: number of environments of the session.
          config: timeouts.
          should_stop: predicate that ends every wait with a TimeoutError.
          timings: receiver of the time of requests, divided into `transport` and `waiting` for
            the server.
        """
        self._servers = servers
        self._name = name
        self._num_envs = num_envs
        self._config = config
        self._should_stop = should_stop
        self._timings = timings or Timings()
        self._has_answers = False
        self._current = 0
        self.moves = 0

    def open(self) -> None:
        """Opens a session on the first server that accepts it; each has time to compile.

        Raises:
          TimeoutError: no server is available.
          UserError: a server refuses the session.
        """
        errors = []
        for index in range(len(self._servers)):
            try:
                return self._open(index, self._config.timeout_seconds, _COMPILE_SECONDS)
            except Exception as error:  # the transport's errors have no common class
                raise_if_refused(error)
                errors.append(error)
        raise TimeoutError(self._unavailable(self._config.timeout_seconds, errors[-1]))

    def request(self, inputs: Inputs, finish: Callable[[Any, Answer], T]) -> Callable[[], T]:
        """Sends a request and returns a function that waits for the answer.

        Args:
          inputs: inputs of the request.
          finish: `(server, answer) -> T`, the rest of the exchange with the same server; if it
            fails, the request is repeated on another server.

        Returns:
          A function that returns the result of `finish`. It raises a TimeoutError if no server
          has responded for `give_up_seconds` (a compiling server does respond), and a UserError
          for a malformed request.
        """
        sent_at = time.monotonic()
        sent = self._send(inputs)
        self._lap_transport(1.0)

        def wait() -> T:
            try:
                return self._finish(sent, finish, sent_at)
            except Exception as error:  # the transport's errors have no common class
                raise_if_refused(error)
                return self._fail_over(inputs, finish, error)

        return wait

    def call(self, server: Any, method: str, *arguments: Any) -> Any:
        """Calls a method of a server.

        Raises:
          TimeoutError: the server has not responded within `timeout_seconds`.
        """
        return self._result(start_call(server, method, *arguments), self._config.timeout_seconds)

    def _send(self, inputs: Inputs) -> "futures.Future[Answer]":
        return start_call(self._servers[self._current], "act", self._name, *inputs)

    def _finish(
        self,
        sent: "futures.Future[Answer]",
        finish: Callable[[Any, Answer], T],
        sent_at: float,
    ) -> T:
        server = self._servers[self._current]
        answer = Answer(*self._result(sent, self._config.timeout_seconds))
        round_trip = max(time.monotonic() - sent_at, 1e-9)
        self._lap_transport(1.0 - min(1.0, answer.server_seconds / round_trip))
        if self._has_answers:
            self._timings.lap("waiting")
        self._has_answers = True
        return finish(server, answer)

    def _lap_transport(self, share: float) -> None:
        if self._has_answers:  # The first request waits for the server to compile.
            self._timings.lap("transport", share)

    def _fail_over(self, inputs: Inputs, finish: Callable[[Any, Answer], T], error: Exception) -> T:
        """Repeats a request on all servers in turn until one responds."""
        begun = time.monotonic()
        give_up_at = begun + self._config.give_up_seconds
        while time.monotonic() < min(give_up_at, begun + _COMPILE_SECONDS):
            # A server that has lost the session is available: try it first.
            step = 0 if NO_SESSION in str(error) else 1
            index = (self._current + step) % len(self._servers)
            try:
                self._open(index, _MOVE_SECONDS, _MOVE_SECONDS)
                return self._finish(self._send(inputs), finish, time.monotonic())
            except Exception as failure:  # the transport's errors have no common class
                raise_if_refused(failure)
                if isinstance(failure, _StillCompiling):
                    give_up_at = time.monotonic() + self._config.give_up_seconds
                error, self._current = failure, index
                pause(self._should_stop)
        raise TimeoutError(self._unavailable(self._config.give_up_seconds, error))

    def _open(self, index: int, seconds: float, compile_seconds: float) -> None:
        server, begun = self._servers[index], time.monotonic()
        while True:
            error: Exception = _StillCompiling("an inference server is still compiling")
            patience = compile_seconds
            try:
                if self._result(start_call(server, "wait_until_ready"), seconds):
                    break
            except Exception as failure:  # unavailable
                error, patience = failure, seconds
            if time.monotonic() > begun + patience:
                raise error
            pause(self._should_stop)
        self._result(start_call(server, "open_session", self._name, self._num_envs), seconds)
        self.moves += index != self._current
        self._current = index

    def _result(self, future: "futures.Future[T]", seconds: float) -> T:
        return result_of(future, seconds, self._should_stop)

    def _unavailable(self, seconds: float, error: Exception) -> str:
        return (
            f"{self._name}: none of {len(self._servers)} inference servers has answered for "
            f"{seconds:g} s; the last error was: {last_line(error)}"
        )
