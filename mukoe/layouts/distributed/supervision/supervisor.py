"""Starts the processes of a program, and starts those again that die or hang.

Launchpad makes the commands: nodes, addresses, ports and what each process is told stay the
same, so a process that is started anew is the same node, at the same port. When and how often
that happens is decided here.
"""

import collections
import dataclasses
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mukoe.layouts.distributed.supervision import supervised
from mukoe.layouts.distributed.supervision.process import Process

# These serve the others until they have ended: they are told to stop last ...
SERVING = ("replay", "counter")
# ... and no later than this after the others.
_SERVING_SECONDS = 9.0
# These save what they have; where the others take longer than this to end, they are killed, so that
# hundreds of them do not keep the processor from those that save.
_SAVING = ("learner", *SERVING)
_OTHERS_SECONDS = 4.0
# Deaths that are longer ago do not count.
WINDOW_SECONDS = 300.0
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
# A node that fails with an error of its own most likely fails again.
_MAX_ERRORS = 2
_START_SECONDS = 300.0


class Command(Protocol):
    """What Launchpad wants to be run."""

    command_as_list: list[str]
    env_overrides: Mapping[str, Any]
    title: str


ProcessStarter = Callable[[Command, Mapping[str, str], Path], Process]
"""Starts a command, with variables for its environment and the file for what it prints."""


@dataclasses.dataclass(frozen=True)
class Restart:
    """A node that is started again.

    label: of the node, such as `actor_0`.
    reason: such as `was killed by SIGKILL`.
    pause_seconds: until it starts.
    count: of its restarts, this one included.
    """

    label: str
    reason: str
    pause_seconds: float
    count: int


class Supervisor:
    """The processes of a program. All methods are for the thread that made it.

    labels: of the nodes, such as `actor_0`.
    failure: why the program has to end, as in failure.json; None for no reason.
    """

    def __init__(
        self,
        workdir: Path,
        commands: Iterable[Command],
        max_restarts: int,
        hang_seconds: float,
        on_restart: Callable[[Restart], None],
        start_process: ProcessStarter,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Starts all processes.

        Args:
          workdir: gets what they print, as `logs/nodes/GROUP/INDEX`.
          commands: of Launchpad.
          max_restarts: of a node within `WINDOW_SECONDS`.
          hang_seconds: a process that gave no sign of life for so long is killed.
          on_restart: told of each restart.
          start_process: such as by forking, or on another machine.
          clock: gives seconds.
        """
        self._max_restarts = max_restarts
        self._hang_seconds = hang_seconds
        self._on_restart = on_restart
        self._clock = clock
        self._stopping_since: float | None = None
        self.failure: dict[str, Any] | None = None
        (workdir / supervised.FAILURES).mkdir(exist_ok=True)
        self._nodes = [_Node(workdir, command, clock, start_process) for command in commands]
        for node in self._nodes:
            node.start()

    @property
    def labels(self) -> list[str]:
        """See the class."""
        return [node.label for node in self._nodes]

    @property
    def restarts(self) -> dict[str, int]:
        """How often each node was started again."""
        return {node.label: node.restarts for node in self._nodes}

    @property
    def stopping(self) -> bool:
        """Whether the nodes were told to stop."""
        return self._stopping_since is not None

    @property
    def ended(self) -> bool:
        """Whether the nodes were told to stop, and all have."""
        return self.stopping and not any(node.running for node in self._nodes)

    def poll(self) -> None:
        """Notices what has died or hangs, and starts what is due."""
        for node in self._nodes:
            if self.stopping:
                break
            if node.running and node.silent_seconds > self._patience(node):
                node.kill(f"gave no sign of life for {self._hang_seconds:g} s")
            elif not node.running and node.start_at is None:
                self._died(node)
            elif node.start_at is not None and self._clock() >= node.start_at:
                node.start()
        if self._stopping_since is not None:
            self._escalate_shutdown(self._clock() - self._stopping_since)

    def stop(self) -> None:
        """Tells the nodes to stop."""
        if self._stopping_since is None:
            self._stopping_since = self._clock()
            self._terminate(serving=False)

    def fail(self, failure: dict[str, Any]) -> None:
        """Tells the nodes to stop, for a reason as in failure.json."""
        self.failure = failure
        self.stop()

    def close(self) -> None:
        """Kills what is left, and removes what Launchpad has left."""
        for node in self._nodes:  # All of them first: those that are closed are waited for.
            node.kill("did not end")
        for node in self._nodes:
            node.close()

    def _patience(self, node: "_Node") -> float:
        return self._hang_seconds if node.has_beaten else max(self._hang_seconds, _START_SECONDS)

    def _escalate_shutdown(self, waited: float) -> None:
        """Goes on with the end, so long after the nodes were told to stop."""
        if waited > _OTHERS_SECONDS:
            for node in self._nodes:
                if node.running and not node.saves:
                    node.kill("did not end")
        if waited > _SERVING_SECONDS or not any(n.running for n in self._nodes if not n.serves):
            self._terminate(serving=True)

    def _terminate(self, serving: bool) -> None:
        for node in self._nodes:
            if node.serves == serving:
                node.terminate()

    def _died(self, node: "_Node") -> None:
        failure, reason = node.failure(), node.reason()
        now = self._clock()
        recent = [death for death in node.deaths if now - death.time < WINDOW_SECONDS]
        errors = sum(death.is_error for death in recent) + (failure is not None)
        is_mistake = failure is not None and failure["is_user_error"]
        if is_mistake or errors > _MAX_ERRORS or len(recent) >= self._max_restarts:
            times = f"{len(recent) + 1} times in {WINDOW_SECONDS:.0f} s"
            died = f"it died {times}; the last time it {reason}"
            without_a_word = {
                "node": node.label,
                "error": died,
                "is_user_error": False,
                "traceback": f"{died}; see {node.log_path}",
            }
            return self.fail(failure or without_a_word)
        pause = min(_FIRST_PAUSE_SECONDS * 2 ** len(recent), _LONGEST_PAUSE_SECONDS)
        node.deaths.append(_Death(now, failure is not None))
        node.start_at = now + pause
        node.restarts += 1
        self._on_restart(Restart(node.label, reason, pause, node.restarts))


@dataclasses.dataclass(frozen=True)
class _Death:
    time: float
    is_error: bool


class _Node:
    """One node: its command, and the process that runs it for now."""

    def __init__(
        self,
        workdir: Path,
        command: Command,
        clock: Callable[[], float],
        start_process: ProcessStarter,
    ):
        group, _, index = command.title.partition("/")
        self.label = label_of(command.title)
        self.serves = group in SERVING
        self.saves = group in _SAVING
        self.log_path = workdir / "logs" / "nodes" / group / index
        self.restarts = 0
        self.deaths: collections.deque[_Death] = collections.deque(maxlen=100)
        self.start_at: float | None = None
        self.has_beaten = False
        self._failure_path = workdir / supervised.FAILURES / f"{self.label}.json"
        self._command = command
        self._clock = clock
        self._start_process = start_process
        self._heard_at = 0.0
        self._process: Process | None = None
        self._kill_reason: str | None = None
        self._terminated = False

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def silent_seconds(self) -> float:
        """How long ago the process started or gave its last sign of life."""
        if self._process is not None and self._process.waiting:
            self._heard_at = self._clock()
        elif self._process is not None and self._process.hear():
            self._heard_at, self.has_beaten = self._clock(), True
        return self._clock() - self._heard_at

    def start(self) -> None:
        if self._process is not None:
            self._process.close()
        self._failure_path.unlink(missing_ok=True)
        self.start_at, self._kill_reason, self.has_beaten = None, None, False
        environment = {
            supervised.RESTARTS_VARIABLE: str(self.restarts),
            supervised.NODE_VARIABLE: self.label,
        }
        self._process = self._start_process(self._command, environment, self.log_path)
        self._heard_at = self._clock()

    def kill(self, reason: str) -> None:
        self._kill_reason = reason
        self._send(signal.SIGKILL)

    def terminate(self) -> None:
        """Tells the process to stop, once."""
        if not self._terminated:
            self._terminated = True
            self._send(signal.SIGTERM)

    def close(self) -> None:
        if self._process is not None:
            self._process.close()
        for folder in _data_folders(self._command.command_as_list):
            shutil.rmtree(folder, ignore_errors=True)

    def failure(self) -> dict[str, Any] | None:
        """The error that the process wrote down."""
        return supervised.read_failure(self._failure_path)

    def reason(self) -> str:
        """Why the process is dead, such as `was killed by SIGKILL`."""
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
    return f"{group}_{index}" if group in ("actor", "inference") else group


def _data_folders(command: Sequence[str]) -> list[str]:
    """The temporary folder of a command's pickled nodes."""
    return [
        os.path.dirname(value)
        for flag, value in zip(command, command[1:], strict=False)
        if flag == "--data_file"
    ]
