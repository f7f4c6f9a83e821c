"""Supervisor: starts the processes of a program, and restarts those that die or hang.

The runtime makes the commands. Nodes, addresses, ports and arguments stay the same, so a restarted
process is the same node at the same port. Learners of several hosts are restarted together, because
none of them can make an update alone. This module decides when a node is restarted and when
the program fails.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mukoe.layouts.distributed.supervision import supervised
from mukoe.layouts.distributed.supervision.node import (
    RESTARTED_TOGETHER,
    Command,
    Death,
    ProcessStarter,
    SupervisedNode,
)

# Nodes that save nothing are killed if they take longer than this to end, so that hundreds of them
# do not compete for the processor with those that save.
_OTHERS_SECONDS = 4.0
# Nodes that serve the others are stopped last, and no later than this after the others.
_SERVING_SECONDS = 9.0
# Older deaths do not count.
WINDOW_SECONDS = 300.0
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
# A node that reports an error most likely fails again.
_MAX_ERRORS = 2
_START_SECONDS = 300.0


@dataclasses.dataclass(frozen=True)
class Restart:
    """Restart of a node.

    label: label of the node, such as `actor_0`.
    reason: reason of the death, such as `was killed by SIGKILL`.
    pause_seconds: seconds until the start.
    count: number of restarts of the node, with this one.
    """

    label: str
    reason: str
    pause_seconds: float
    count: int


class Supervisor:
    """The processes of a program. All methods must be called in the thread that made it.

    labels: labels of the nodes, such as `actor_0`.
    failure: failure that ends the program, as in failure.json; None without a failure.
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
          workdir: directory of the run; output is written to `logs/nodes/GROUP/INDEX`.
          commands: commands of the nodes.
          max_restarts: maximum number of restarts of a node within `WINDOW_SECONDS`.
          hang_seconds: seconds without a heartbeat after which a process is killed.
          on_restart: function called before each restart.
          start_process: function that starts a process, by forking or on another machine.
          clock: function that returns seconds.
        """
        self._max_restarts = max_restarts
        self._hang_seconds = hang_seconds
        self._on_restart = on_restart
        self._clock = clock
        self._stopping_since: float | None = None
        self.failure: dict[str, Any] | None = None
        (workdir / supervised.FAILURES).mkdir(exist_ok=True)
        self._nodes = [
            SupervisedNode(workdir, command, clock, start_process) for command in commands
        ]
        for node in self._nodes:
            node.start()

    @property
    def labels(self) -> list[str]:
        """See the class."""
        return [node.label for node in self._nodes]

    @property
    def restarts(self) -> dict[str, int]:
        """Number of restarts of each node."""
        return {node.label: node.restarts for node in self._nodes}

    @property
    def stopping(self) -> bool:
        """True once the nodes were asked to stop."""
        return self._stopping_since is not None

    @property
    def ended(self) -> bool:
        """True once the nodes were asked to stop and all have ended."""
        return self.stopping and not any(node.running for node in self._nodes)

    def poll(self) -> None:
        """Detects dead and hanging nodes, and starts those that are due."""
        for node in self._nodes:
            if self.stopping:
                break
            if node.running and node.silent_seconds > self._allowed_silence(node):
                node.kill(f"sent no heartbeat for {self._hang_seconds:g} s")
            elif not node.running and node.start_at is None:
                self._restart_or_fail(node)
            elif node.start_at is not None and self._clock() >= node.start_at:
                node.start()
        if self._stopping_since is not None:
            self._escalate_shutdown(self._clock() - self._stopping_since)

    def stop(self) -> None:
        """Asks the nodes to stop."""
        if self._stopping_since is None:
            self._stopping_since = self._clock()
            self._terminate(serving=False)

    def fail(self, failure: dict[str, Any]) -> None:
        """Asks the nodes to stop because of a failure, as in failure.json."""
        self.failure = failure
        self.stop()

    def close(self) -> None:
        """Kills the processes that still run, and removes temporary files of the commands."""
        for node in self._nodes:  # First all of them, since `close` waits.
            node.kill("did not end")
        for node in self._nodes:
            node.close()

    def _allowed_silence(self, node: SupervisedNode) -> float:
        return self._hang_seconds if node.has_beaten else max(self._hang_seconds, _START_SECONDS)

    def _escalate_shutdown(self, waited: float) -> None:
        """Kills nodes that ignore the stop request; stops serving nodes last.

        Args:
          waited: seconds since the stop request.
        """
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

    def _restart_or_fail(self, node: SupervisedNode) -> None:
        """Schedules the restart of a dead node, or fails the program if it dies too often."""
        failure, reason = node.failure(), node.reason()
        now = self._clock()
        recent = [death for death in node.deaths if now - death.time < WINDOW_SECONDS]
        errors = sum(death.is_error for death in recent) + (failure is not None)
        is_user_error = failure is not None and failure["is_user_error"]
        if is_user_error or errors > _MAX_ERRORS or len(recent) >= self._max_restarts:
            return self.fail(failure or _unreported_failure(node, len(recent) + 1, reason))
        pause = min(_FIRST_PAUSE_SECONDS * 2 ** len(recent), _LONGEST_PAUSE_SECONDS)
        node.deaths.append(Death(now, failure is not None))
        self._schedule(node, reason, pause)
        if node.group in RESTARTED_TOGETHER:
            for peer in self._nodes:
                if peer is not node and peer.group == node.group:
                    reason = f"is restarted with {node.label}"
                    peer.kill(reason)
                    self._schedule(peer, reason, pause)

    def _schedule(self, node: SupervisedNode, reason: str, pause: float) -> None:
        node.start_at = self._clock() + pause
        node.restarts += 1
        self._on_restart(Restart(node.label, reason, pause, node.restarts))


def _unreported_failure(node: SupervisedNode, deaths: int, reason: str) -> dict[str, Any]:
    """Returns the failure of a node that died too often without reporting an error."""
    error = f"it died {deaths} times in {WINDOW_SECONDS:.0f} s; the last time it {reason}"
    return {
        "node": node.label,
        "error": error,
        "is_user_error": False,
        "traceback": f"{error}; see {node.log_path}",
    }
