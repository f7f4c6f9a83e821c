"""Running programs, in threads or in processes: their stop, end and exit status."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mukoe.layouts.distributed.supervision import supervised
from mukoe.layouts.distributed.supervision.supervised import FAILURE_FILE
from mukoe.layouts.distributed.supervision.supervisor import Restart, Supervisor
from mukoe.observability.loggers.factory import make_logger
from mukoe.system import write_atomically
from mukoe.terminal.interruption import STATUS_INTERRUPTED
from mukoe.terminal.progress_line import ProgressLine

STATUS_CRASHED = 1
STATUS_USER_ERROR = 2

_GRACE_SECONDS = 12.0


class Run:
    """A started program.

    ended: True once all nodes have ended, or the wait for them is over.
    """

    def __init__(self, workdir: Path):
        """Represents a running program.

        Args:
          workdir: directory of the run.
        """
        self._workdir = workdir
        self._should_stop = False
        self._interrupted = False
        self._stopping_since: float | None = None
        self._has_failed = False
        self.ended = False

    def stop(self, interrupted: bool = False) -> None:
        """Has `poll` ask all nodes to stop.

        Args:
          interrupted: True after Ctrl-C; the second time, the run ends without waiting.
        """
        if self._should_stop:
            self.ended |= interrupted
        else:
            self._should_stop, self._interrupted = True, interrupted

    @property
    def stopping(self) -> bool:
        """True once the nodes have been asked to stop."""
        return self._stopping_since is not None

    def poll(self, actor_steps: int) -> None:
        """Asks the nodes to stop if requested, and detects the end; called every 0.2 s.

        Args:
          actor_steps: agent steps of the run so far.
        """
        if self._should_stop and self._stopping_since is None:
            self._stopping_since = time.monotonic()
            self._stop_nodes()
        if self._all_ended():
            self.ended = True
        elif self._stopping_since is not None:
            self.ended |= time.monotonic() - self._stopping_since > _GRACE_SECONDS

    def status(self, line: ProgressLine) -> int:
        """Kills the remaining processes, prints the failure, and returns the exit status."""
        self._kill_rest()
        failure = self._failure()
        if failure is None and not self._has_failed:
            return STATUS_INTERRUPTED if self._interrupted else 0
        if failure is None:
            line.message(
                f"a node died without reporting an error; see {self._workdir / 'logs' / 'nodes'}"
            )
            return STATUS_CRASHED
        if failure["is_user_error"]:
            print("error:", failure["error"].partition(": ")[2], file=sys.stderr)
            return STATUS_USER_ERROR
        print(f"\nnode {failure['node']} failed:\n{failure['traceback']}", file=sys.stderr)
        return STATUS_CRASHED

    def _stop_nodes(self) -> None:
        raise NotImplementedError

    def _all_ended(self) -> bool:
        raise NotImplementedError

    def _failure(self) -> dict[str, Any] | None:
        """Returns the failure that ended the program, as in failure.json."""
        return supervised.read_failure(self._workdir / FAILURE_FILE)

    def _kill_rest(self) -> None:
        """Kills the remaining processes."""


class ProcessRun(Run):
    """A program of processes under a supervisor, which restarts them."""

    def __init__(
        self,
        workdir: Path,
        line: ProgressLine,
        supervise: Callable[[Callable[[Restart], None]], Supervisor],
        loggers: Sequence[str],
    ):
        """Starts the processes.

        Args:
          workdir: directory of the run.
          line: progress line, which shows restarts.
          supervise: `on_restart -> supervisor`; starts the processes.
          loggers: names of the loggers of restarts, see `make_logger`.
        """
        super().__init__(workdir)
        self._line = line
        self._log = make_logger(workdir, "supervisor", "actor_steps", loggers=loggers)
        self._actor_steps = 0
        self._supervisor = supervise(self._report)

    def poll(self, actor_steps: int) -> None:
        """Restarts dead processes too; see `Run.poll`."""
        self._actor_steps = actor_steps
        self._supervisor.poll()
        if self._supervisor.failure is not None and self._stopping_since is None:
            self._stopping_since = time.monotonic()
            with contextlib.suppress(OSError):  # a full disk
                text = json.dumps(self._supervisor.failure, indent=2)
                write_atomically(self._workdir / FAILURE_FILE, text)
        super().poll(actor_steps)

    def _report(self, restart: Restart) -> None:
        self._line.message(
            f"node {restart.label} {restart.reason}: restart {restart.count} "
            f"in {restart.pause_seconds:g} s"
        )
        counts = {f"restarts_{k}": v for k, v in self._supervisor.restarts.items()}
        restarts = sum(counts.values())
        self._log.write({"actor_steps": self._actor_steps, "restarts": restarts, **counts})

    def _stop_nodes(self) -> None:
        self._supervisor.stop()

    def _all_ended(self) -> bool:
        return self._supervisor.ended

    def _failure(self) -> dict[str, Any] | None:
        return self._supervisor.failure

    def _kill_rest(self) -> None:
        self._supervisor.close()
        self._log.close()
