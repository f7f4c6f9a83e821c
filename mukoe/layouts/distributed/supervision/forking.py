"""Nodes as forks of one process, so that a program's modules are imported once.

A program with many actors starts in the time of one of them, a dead node restarts at once, and all
share the memory of the imported modules.
"""

import contextlib
import itertools
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mukoe.layouts.distributed.supervision import fork_server
from mukoe.layouts.distributed.supervision.fork_server import MESSAGE_BYTES, Reply, Request
from mukoe.layouts.distributed.supervision.node import LocalCommand
from mukoe.layouts.distributed.supervision.process import (
    BoundProcess,
    HeartbeatPipe,
    Process,
    describe_exit,
    open_log,
)

_ANSWER_SECONDS = 20.0
_IMPORT_SECONDS = 300.0
_KILL_SECONDS = 5.0


class ForkingStarter:
    """A `ProcessStarter` that forks from one server per set of environment variables."""

    def __init__(self, modules: Sequence[str], log_folder: Path):
        """Makes a starter; it starts servers when they are needed.

        Args:
          modules: modules that the servers import.
          log_folder: folder of their output, one file per server.
        """
        self._modules = modules
        self._log_folder = log_folder
        self._servers: dict[tuple, ForkServer] = {}
        self._numbers = itertools.count()

    def __call__(
        self, command: LocalCommand, environment: Mapping[str, str], log_path: Path
    ) -> Process:
        """Starts a command of the interpreter with a script."""
        variables = tuple(sorted(command.env_overrides.items()))
        server = self._servers.get(variables)
        if server is None or server.status is not None:
            log = self._log_folder / str(next(self._numbers))
            server = ForkServer(self._modules, command.env_overrides, log)
            self._servers[variables] = server
        return ForkedProcess(server, Request(command.command_as_list, dict(environment)), log_path)

    def close(self) -> None:
        """Kills the servers and their forks."""
        for server in self._servers.values():
            server.close()


class ForkServer:
    """The process of `fork_server`; it dies with the thread that started it.

    ready: True once it has imported all modules.
    status: exit status, negative for a signal; None while it runs.
    """

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str], log_path: Path):
        """Starts the process.

        Args:
          modules: modules that it imports.
          environment: variables in addition to those of this process.
          log_path: file of the output.
        """
        self.ready = False
        self.status: int | None = None
        self._starting: ForkedProcess | None = None
        self._forks: dict[int, ForkedProcess] = {}
        self._import_ends = time.monotonic() + _IMPORT_SECONDS
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            descriptor = theirs.fileno()
            command = [sys.executable, "-m", fork_server.__name__, str(descriptor), *modules]
            self._process = BoundProcess(command, environment, log_path, [descriptor])

    def listen(self, seconds: float = 0.0) -> None:
        """Receives messages; waits for the first one for at most `seconds`."""
        while self.status is None:
            self._socket.settimeout(seconds)
            try:
                message = self._socket.recv(MESSAGE_BYTES)
            except (BlockingIOError, TimeoutError):
                break
            except ConnectionResetError:
                message = b""
            seconds = 0.0
            if message:
                self._receive(Reply(**json.loads(message)))
            else:
                self._end()
        if self.status is None and not self.ready and time.monotonic() > self._import_ends:
            self._end()

    def fork(self, fork: "ForkedProcess", request: Request, files: list[int]) -> None:
        """Starts a node and sets its `pid`; kills a server that does not respond."""
        ends = time.monotonic() + _ANSWER_SECONDS
        self._starting = fork
        with contextlib.suppress(OSError):
            socket.send_fds(self._socket, [json.dumps(request._asdict()).encode()], files)
            while fork.pid is None and self.status is None and time.monotonic() < ends:
                self.listen(0.1)
        if fork.pid is None:
            self._end()
            fork.end_with(-signal.SIGKILL)

    def close(self) -> None:
        """Kills the process and its forks."""
        if self.status is None:
            self._end()

    def _receive(self, reply: Reply) -> None:
        if reply.event == "ready":
            self.ready = True
        elif reply.event == "started" and self._starting is not None:
            self._starting.pid = reply.pid
            self._forks[reply.pid] = self._starting
        else:
            self._forks.pop(reply.pid).end_with(reply.status)

    def _end(self) -> None:
        """Kills the process; Linux then kills its forks."""
        self._process.kill()
        self.status = self._process.wait(timeout=_KILL_SECONDS)
        self._socket.close()
        while self._forks:
            self._forks.popitem()[1].end_with(-signal.SIGKILL)


class ForkedProcess:
    """A `Process` that a server forks once it is ready.

    pid: process id; None before the fork.
    """

    def __init__(self, server: ForkServer, request: Request, log_path: Path):
        """Requests the fork, which `poll` starts.

        Args:
          server: server that forks.
          request: command and environment.
          log_path: file of the output.
        """
        self.pid: int | None = None
        self._server = server
        self._request = request
        self._log_path = log_path
        self._status: int | None = None
        self._heartbeat = HeartbeatPipe()

    @property
    def waiting(self) -> bool:
        """See `Process`."""
        return self.pid is None and self._status is None

    @property
    def fate(self) -> str:
        """See `Process`."""
        return describe_exit(self._status or 0)

    def poll(self) -> int | None:
        """See `Process`."""
        self._server.listen()
        if self.waiting and self._server.status is not None:
            self.end_with(self._server.status)
        elif self.waiting and self._server.ready:
            with open_log(self._log_path) as log:
                self._server.fork(self, self._request, [log.fileno(), self._heartbeat.theirs])
            self._heartbeat.give_away()
        return self._status

    def read_messages(self) -> bytes:
        """See `Process`."""
        return self._heartbeat.read_messages()

    def send_signal(self, number: int) -> None:
        """See `Process`; before the fork it cancels the fork."""
        self._server.listen()
        if self.waiting:
            self.end_with(-number)
        elif self._status is None and self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def close(self) -> None:
        """See `Process`."""
        self.send_signal(signal.SIGKILL)
        ends = time.monotonic() + _KILL_SECONDS
        while self._status is None and time.monotonic() < ends:
            self._server.listen(0.1)
        self._heartbeat.close()

    def end_with(self, status: int) -> None:
        """Sets the exit status; called by the server."""
        self._status = status
