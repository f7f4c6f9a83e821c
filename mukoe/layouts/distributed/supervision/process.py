"""Process of a node: its start, its messages and its end."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from mukoe.layouts.distributed.supervision import parent_death_signal, supervised


class Process(Protocol):
    """Process of a node, on this machine or on another one.

    waiting: True before its start, while it has no machine or fork server.
    fate: description of its end, such as `was killed by SIGKILL`.
    """

    @property
    def waiting(self) -> bool:
        """See the class."""

    @property
    def fate(self) -> str:
        """See the class."""

    def poll(self) -> int | None:
        """Returns the exit status, negative for a signal; None while it runs."""

    def read_messages(self) -> bytes:
        """Returns the messages since the last call, as in `supervised`."""

    def send_signal(self, number: int) -> None:
        """Sends a signal, if the process still runs."""

    def close(self) -> None:
        """Kills the process if it still runs, and releases its resources."""


class HeartbeatPipe:
    """Pipe of the messages of a process to its supervisor, as in `supervised`.

    theirs: file descriptor of the process's end.
    """

    def __init__(self) -> None:
        self._ours, self.theirs = os.pipe()
        os.set_blocking(self._ours, False)
        self._open = {self._ours, self.theirs}

    def read_messages(self) -> bytes:
        """Returns the messages since the last call."""
        messages = b""
        with contextlib.suppress(BlockingIOError):
            while self._ours in self._open and (part := os.read(self._ours, 4096)):
                messages += part
        return messages

    def give_away(self) -> None:
        """Closes the process's end in this process, after the start."""
        self._close(self.theirs)

    def close(self) -> None:
        """Closes both ends."""
        self._close(self.theirs)
        self._close(self._ours)

    def _close(self, descriptor: int) -> None:
        if descriptor in self._open:
            self._open.remove(descriptor)
            os.close(descriptor)


class BoundProcess(subprocess.Popen):
    """A process that dies with the thread that started it."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log_path: Path,
        descriptors: Sequence[int] = (),
        working_directory: str | None = None,
    ):
        """Starts the process.

        Args:
          command: absolute path and arguments.
          environment: variables in addition to those of this process.
          log_path: file to which the output is appended; its folder is made.
          descriptors: file descriptors that the process inherits.
          working_directory: working directory; None for that of this process.
        """
        bound = [sys.executable, "-I", "-S", parent_death_signal.__file__, str(os.getpid())]
        with open_log(log_path) as log:
            super().__init__(
                [*bound, *command],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=descriptors,
                cwd=working_directory,
                # Only the launcher receives Ctrl-C; it stops the nodes in order.
                start_new_session=True,
            )


class LocalProcess(BoundProcess):
    """A `Process` of this machine."""

    waiting = False

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log_path: Path,
        descriptors: Sequence[int] = (),
        working_directory: str | None = None,
    ):
        """Starts the process with a heartbeat pipe; see `BoundProcess`."""
        self._heartbeat = HeartbeatPipe()
        theirs = self._heartbeat.theirs
        variables = {**environment, supervised.HEARTBEAT_VARIABLE: str(theirs)}
        files = [theirs, *descriptors]
        try:
            super().__init__(command, variables, log_path, files, working_directory)
        except BaseException:
            self._heartbeat.close()
            raise
        self._heartbeat.give_away()

    @property
    def fate(self) -> str:
        """See `Process`."""
        return describe_exit(self.returncode)

    def read_messages(self) -> bytes:
        """See `Process`."""
        return self._heartbeat.read_messages()

    def close(self) -> None:
        """See `Process`."""
        self.send_signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(timeout=5)
        self._heartbeat.close()


def open_log(path: Path) -> IO[str]:
    """Opens a file for appending, and makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return open(path, "a")


def describe_exit(status: int) -> str:
    """Returns the description of an exit status, such as `was killed by SIGKILL`."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
