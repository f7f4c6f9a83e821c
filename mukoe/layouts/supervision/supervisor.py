"""Starts the processes of a program, and starts those again that die or hang.

Launchpad makes the commands: nodes, addresses, ports and what each process is told stay the
same, so a process that is started anew is the same node, at the same port. When and how often
that happens is decided here.
"""

import collections
import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mukoe.layouts.supervision import supervised, tether

# These serve the others until they have ended: they are told to stop last ...
SERVING = ("replay", "counter")
# ... and no later than this after the others.
_SERVING_SECONDS = 9.0
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
        clock: Callable[[], float] = time.monotonic,
    ):
        """Starts all processes.

        Args:
          workdir: gets what they print, as `logs/nodes/GROUP/INDEX`.
          commands: of Launchpad.
          max_restarts: of a node within `WINDOW_SECONDS`.
          hang_seconds: a process that gave no sign of life for so long is killed.
          on_restart: told of each restart.
          clock: gives seconds.
        """
        self._max_restarts = max_restarts
        self._hang_seconds = hang_seconds
        self._on_restart = on_restart
        self._clock = clock
        self._stopping_since: float | None = None
        self.failure: dict[str, Any] | None = None
        (workdir / supervised.FAILURES).mkdir(exist_ok=True)
        self._nodes = [_Node(workdir, command, clock) for command in commands]
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
            waited = self._clock() - self._stopping_since
            if waited > _SERVING_SECONDS or not any(n.running for n in self._nodes if not n.serves):
                self._terminate(serving=True)

    def stop(self) -> None:
        """Tells the nodes to stop."""
        if self._stopping_since is None:
            self._stopping_since = self._clock()
            self._terminate(serving=False)

    def close(self) -> None:
        """Kills what is left, and removes what Launchpad has left."""
        for node in self._nodes:
            node.close()

    def _patience(self, node: "_Node") -> float:
        return self._hang_seconds if node.has_beaten else max(self._hang_seconds, _START_SECONDS)

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
            self.failure = failure or {
                "node": node.label,
                "error": died,
                "is_user_error": False,
                "traceback": f"{died}; see {node.log_path}",
            }
            return self.stop()
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

    def __init__(self, workdir: Path, command: Command, clock: Callable[[], float]):
        group, _, index = command.title.partition("/")
        self.label = f"{group}_{index}" if group in ("actor", "inference") else group
        self.serves = group in SERVING
        self.log_path = workdir / "logs" / "nodes" / group / index
        self.restarts = 0
        self.deaths: collections.deque[_Death] = collections.deque(maxlen=100)
        self.start_at: float | None = None
        self.has_beaten = False
        self._failure_path = workdir / supervised.FAILURES / f"{self.label}.json"
        self._command = command
        self._clock = clock
        self._heard_at = 0.0
        self._pipe: int | None = None
        self._process: subprocess.Popen | None = None
        self._kill_reason: str | None = None
        self._terminated = False

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def silent_seconds(self) -> float:
        """How long ago the process started or gave its last sign of life."""
        with contextlib.suppress(BlockingIOError):
            while self._pipe is not None and os.read(self._pipe, 4096):
                self._heard_at, self.has_beaten = self._clock(), True
        return self._clock() - self._heard_at

    def start(self) -> None:
        self._forget()
        self._failure_path.unlink(missing_ok=True)
        self.start_at, self._kill_reason, self.has_beaten = None, None, False
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._pipe, theirs = os.pipe()
        os.set_blocking(self._pipe, False)
        environment = {
            **os.environ,
            **self._command.env_overrides,
            supervised.HEARTBEAT_VARIABLE: str(theirs),
            supervised.RESTARTS_VARIABLE: str(self.restarts),
            supervised.NODE_VARIABLE: self.label,
        }
        bound = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid())]
        with open(self.log_path, "a") as log:
            self._process = subprocess.Popen(
                [*bound, *self._command.command_as_list],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs],
                # Ctrl-C is for the launcher alone, which tells the nodes in their order.
                start_new_session=True,
            )
        os.close(theirs)
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
        self._send(signal.SIGKILL)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5)
        self._forget()
        for folder in _data_folders(self._command.command_as_list):
            shutil.rmtree(folder, ignore_errors=True)

    def failure(self) -> dict[str, Any] | None:
        """The error that the process wrote down."""
        return supervised.read_failure(self._failure_path)

    def reason(self) -> str:
        """Why the process is dead, such as `was killed by SIGKILL`."""
        assert self._process is not None
        code = self._process.returncode
        if self._kill_reason:
            return self._kill_reason
        if failure := self.failure():
            return f"failed: {' '.join(failure['error'].split())[:200]}"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with status {code}"

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _forget(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


def _data_folders(command: Sequence[str]) -> list[str]:
    """The temporary folder of a command's pickled nodes."""
    return [
        os.path.dirname(value)
        for flag, value in zip(command, command[1:], strict=False)
        if flag == "--data_file"
    ]
