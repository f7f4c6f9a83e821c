"""Supervised node of a program: its command, its current process, its deaths."""

import collections
import dataclasses
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mukoe.layouts.distributed.supervision import supervised
from mukoe.layouts.distributed.supervision.process import Process

# Groups that serve the others.
SERVING = ("replay", "counter")
# Groups whose nodes are restarted together.
RESTARTED_TOGETHER = ("learner",)
# Groups that save at the end of the program.
_SAVING = ("learner", *SERVING)


class Command(Protocol):
    """Command of a node, as Launchpad makes it.

    title: group and index of the node, such as `actor/0`.
    """

    @property
    def title(self) -> str: ...


@runtime_checkable
class LocalCommand(Command, Protocol):
    """Command of a process of this machine.

    command_as_list: interpreter, script and arguments.
    env_overrides: variables that are added to the environment.
    """

    command_as_list: list[str]
    env_overrides: Mapping[str, Any]


ProcessStarter = Callable[[Any, Mapping[str, str], Path], Process]
"""`(command, environment, log_path) -> process`: starts a command.

Variables of `environment` are added to the environment; output is appended to `log_path`.
"""


@dataclasses.dataclass(frozen=True)
class Death:
    """Death of a process.

    time: time of the supervisor's clock.
    is_error: True if the node reported an error.
    """

    time: float
    is_error: bool


class SupervisedNode:
    """A node: its command, and the process that currently runs it.

    label: label of the node, such as `actor_0`.
    group: group of the node, such as `actor`.
    serves: True if the other nodes need it until they have ended.
    saves: True if it saves at the end of the program.
    log_path: file of the output.
    restarts: number of restarts.
    deaths: newest deaths.
    start_at: time of the next start; None if no start is due.
    has_beaten: True once the current process has sent a heartbeat.
    """

    def __init__(
        self,
        workdir: Path,
        command: Command,
        clock: Callable[[], float],
        start_process: ProcessStarter,
    ):
        """Prepares the node; `start` starts its process.

        Args:
          workdir: directory of the run.
          command: command of the node.
          clock: function that returns seconds.
          start_process: function that starts the process.
        """
        group, _, index = command.title.partition("/")
        self.label = label_of(command.title)
        self.group = group
        self.serves = group in SERVING
        self.saves = group in _SAVING
        self.log_path = workdir / "logs" / "nodes" / group / index
        self.restarts = 0
        self.deaths: collections.deque[Death] = collections.deque(maxlen=100)
        self.start_at: float | None = None
        self.has_beaten = False
        self._failure_path = workdir / supervised.FAILURES / f"{self.label}.json"
        self._command = command
        self._clock = clock
        self._start_process = start_process
        self._last_beat_at = 0.0
        self._process: Process | None = None
        self._kill_reason: str | None = None
        self._terminated = False

    @property
    def running(self) -> bool:
        """True while the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def silent_seconds(self) -> float:
        """Seconds since the start or the last heartbeat of the process."""
        if self._process is not None and self._process.waiting:
            self._last_beat_at = self._clock()
        elif self._process is not None and self._process.read_messages():
            self._last_beat_at, self.has_beaten = self._clock(), True
        return self._clock() - self._last_beat_at

    def start(self) -> None:
        """Starts a process, and closes the one before."""
        if self._process is not None:
            self._process.close()
        self._failure_path.unlink(missing_ok=True)
        self.start_at, self._kill_reason, self.has_beaten = None, None, False
        environment = {
            supervised.RESTARTS_VARIABLE: str(self.restarts),
            supervised.NODE_VARIABLE: self.label,
        }
        self._process = self._start_process(self._command, environment, self.log_path)
        self._last_beat_at = self._clock()

    def kill(self, reason: str) -> None:
        """Kills the process for a reason, such as `did not end`."""
        self._kill_reason = reason
        self._send(signal.SIGKILL)

    def terminate(self) -> None:
        """Sends SIGTERM, at the first call only."""
        if not self._terminated:
            self._terminated = True
            self._send(signal.SIGTERM)

    def close(self) -> None:
        """Kills the process, and removes the temporary files of its command."""
        if self._process is not None:
            self._process.close()
        if isinstance(self._command, LocalCommand):
            for folder in _data_folders(self._command.command_as_list):
                shutil.rmtree(folder, ignore_errors=True)

    def failure(self) -> dict[str, Any] | None:
        """Returns the failure that the process reported; None without a report."""
        return supervised.read_failure(self._failure_path)

    def reason(self) -> str:
        """Returns the reason of the death, such as `was killed by SIGKILL`."""
        assert self._process is not None
        if self._kill_reason:
            return self._kill_reason
        if failure := self.failure():
            return f"failed: {' '.join(failure['error'].split())[:200]}"
        return self._process.fate

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)


def label_of(title: str) -> str:
    """Returns the label of a node, such as `actor_0` of `actor/0`, or `learner` of `learner/0`."""
    group, _, index = title.partition("/")
    is_numbered = group in ("actor", "inference", "reanalyser") or index != "0"
    return f"{group}_{index}" if is_numbered else group


def _data_folders(command: Sequence[str]) -> list[str]:
    """Returns the temporary folders of a command's pickled nodes."""
    return [
        os.path.dirname(value)
        for flag, value in zip(command, command[1:], strict=False)
        if flag == "--data_file"
    ]
