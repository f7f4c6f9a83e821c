"""A process of a node: how it is started, what it says, and how it ends."""

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
    """A process that was started, on this machine or on another one.

    waiting: it has not begun, since there is no place for it.
    fate: how it ended, such as `was killed by SIGKILL`.
    """

    @property
    def waiting(self) -> bool:
        """See the class."""

    @property
    def fate(self) -> str:
        """See the class."""

    def poll(self) -> int | None:
        """Returns the exit status, negative for a signal; None until it has ended."""

    def hear(self) -> bytes:
        """Returns what it has said since it was last asked, as in `supervised`."""

    def send_signal(self, number: int) -> None:
        """Sends a signal; does nothing to a process that has ended."""

    def close(self) -> None:
        """Kills it if it has not ended, and lets go of it."""


class HeartbeatPipe:
    """What a process says to its supervisor, as in `supervised`.

    theirs: the end that the process gets.
    """

    def __init__(self) -> None:
        self._ours, self.theirs = os.pipe()
        os.set_blocking(self._ours, False)
        self._open = {self._ours, self.theirs}

    def hear(self) -> bytes:
        """Returns what came since the last call."""
        heard = b""
        with contextlib.suppress(BlockingIOError):
            while self._ours in self._open and (part := os.read(self._ours, 4096)):
                heard += part
        return heard

    def give_away(self) -> None:
        """Closes the process's end here, when the process has it."""
        self._close(self.theirs)

    def close(self) -> None:
        """Closes what is open; nothing is heard any more."""
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
        """Starts it.

        Args:
          command: an absolute path, and arguments.
          environment: variables beside those of this process.
          log_path: what it prints is appended here; the folder is made.
          descriptors: open files that it gets.
          working_directory: None for that of this process.
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
                # Ctrl-C is for the launcher alone, which tells the nodes in their order.
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
        """Starts it, with a pipe to say that it lives; see `BoundProcess`."""
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

    def hear(self) -> bytes:
        """See `Process`."""
        return self._heartbeat.hear()

    def close(self) -> None:
        """See `Process`."""
        self.send_signal(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(timeout=5)
        self._heartbeat.close()


def open_log(path: Path) -> IO[str]:
    """Opens a file to append to; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return open(path, "a")


def describe_exit(status: int) -> str:
    """Returns what an exit status means, such as `was killed by SIGKILL`."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
