"""How a program starts, what the person sees meanwhile, and how it ends.

Launchpad 0.5.0 alone ends a program with status 137, hides a crashed process, and kills
its own launcher. Here Launchpad makes the nodes and their addresses; processes are run by a
`Supervisor`, threads by Launchpad. This module waits for them, ends what does not end, and
leaves with a status that says what happened.
"""

import contextlib
import functools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import launchpad as lp
from absl import flags
from launchpad.launch.run_locally import run_locally
from launchpad.nodes.python.local_multi_processing import PythonProcess

from mukoe.layouts.common.experiment import ACCELERATED_GROUPS, ExperimentConfig
from mukoe.layouts.common.reporting import make_progress, next_commands, reported_time_line
from mukoe.layouts.common.shutdown import STATUS_INTERRUPTED
from mukoe.layouts.distributed.supervision import supervised
from mukoe.layouts.distributed.supervision.forking import ForkingStarter
from mukoe.layouts.distributed.supervision.supervised import FAILURE_FILE
from mukoe.layouts.distributed.supervision.supervisor import Command, Restart, Supervisor
from mukoe.observability.loggers.factory import make_logger
from mukoe.observability.progress import ProgressLine
from mukoe.system import allow_open_files, process_environment, write_atomically

STATUS_CRASHED = 1
STATUS_USER_ERROR = 2

_GRACE_SECONDS = 12.0
_POLL_SECONDS = 0.2
# A process has up to 40 files open by itself. An actor has some connections to each server,
# of which a process of threads has both ends.
_OPEN_FILES = 128
_OPEN_FILES_PER_ACTOR = 16


def allow_connections(experiment: ExperimentConfig) -> None:
    """Raises the limit of open files to what a program on this machine needs.

    Raises:
      UserError: that is more than the machine allows.
    """
    num_actors = experiment.distributed.num_actors
    needed = _OPEN_FILES + _OPEN_FILES_PER_ACTOR * num_actors
    allow_open_files(needed, f"{num_actors} actors")


def launch(
    program: lp.Program,
    counter: lp.CourierHandle,
    experiment: ExperimentConfig,
    workdir: Path,
    launch_type: str,
) -> int:
    """Runs a program to its end and returns the exit status that it should have.

    0 when it reached its step limit or got SIGTERM, 130 after Ctrl-C, 1 when a node
    failed, 2 when a node found a mistake of the person.

    Args:
      program: of `make_program`.
      counter: of `make_program`.
      experiment: the run.
      workdir: where the nodes log.
      launch_type: 'local_mt', 'local_mp', 'test_mt' or 'test_mp'.
    """
    ours = sorted(name for name in sys.modules if name.startswith("mukoe."))
    starter = ForkingStarter(ours, workdir / "logs" / "nodes" / "fork_server")

    def start(line: ProgressLine) -> Run:
        if launch_type in ("local_mt", "test_mt"):
            return _Threads(lp.launch(program, launch_type="local_mt"), workdir)
        supervise = functools.partial(
            _supervise_locally, program, experiment, workdir, starter, line
        )
        return Processes(workdir, line, supervise)

    # Negative: Launchpad never kills by itself.
    flags.FLAGS["lp_termination_notice_secs"].value = -1
    with contextlib.closing(starter):
        return run_to_end(start, counter, experiment, workdir)


def run_to_end(
    start: Callable[[ProgressLine], "Run"],
    counter: lp.CourierHandle,
    experiment: ExperimentConfig,
    workdir: Path,
) -> int:
    """Starts a program, watches it to its end, and returns the exit status; see `launch`.

    Args:
      start: starts it; gets the line on the terminal.
      counter: of `make_program`.
      experiment: the run.
      workdir: where the nodes log.
    """
    (workdir / FAILURE_FILE).unlink(missing_ok=True)
    with ProgressLine() as line:
        run = start(line)
        with _signals(run):
            watcher = _Watcher(counter, experiment, line)
            while not run.ended:
                time.sleep(_POLL_SECONDS)
                run.poll(watcher.actor_steps)
            watcher.close()
    status = run.status(line)
    if status in (0, STATUS_INTERRUPTED):
        if text := reported_time_line(watcher.reports):
            print(text)
        print(next_commands(workdir))
    return status


def _local_resources(program: lp.Program, experiment: ExperimentConfig) -> dict[str, Any]:
    """Threads and devices of each group's processes."""
    return {
        group: PythonProcess(
            env=process_environment(
                experiment.distributed.threads_of(group), cpu_only=group not in ACCELERATED_GROUPS
            )
        )
        for group in program.groups
    }


class Run:
    """A started program: is it still going, why does it end, and how did it end."""

    def __init__(self, workdir: Path):
        self._workdir = workdir
        self._should_stop = False
        self._interrupted = False
        self._stopping_since: float | None = None
        self._has_failed = False
        self.ended = False

    def stop(self, interrupted: bool = False) -> None:
        """Lets `poll` ask all nodes to stop; again by Ctrl-C, they are not waited for."""
        if self._should_stop:
            self.ended |= interrupted
        else:
            self._should_stop, self._interrupted = True, interrupted

    def poll(self, actor_steps: int) -> None:
        """Notices the end, and the end of patience."""
        if self._should_stop and self._stopping_since is None:
            self._stopping_since = time.monotonic()
            self._tell_nodes()
        if self._all_ended():
            self.ended = True
        elif self._stopping_since is not None:
            self.ended |= time.monotonic() - self._stopping_since > _GRACE_SECONDS

    def status(self, line: ProgressLine) -> int:
        """Ends what is left over, and returns the exit status."""
        self._end_rest()
        failure = self._failure()
        if failure is None and not self._has_failed:
            return STATUS_INTERRUPTED if self._interrupted else 0
        if failure is None:
            line.message(f"a node died without a word; see {self._workdir / 'logs' / 'nodes'}")
            return STATUS_CRASHED
        if failure["is_user_error"]:
            print("error:", failure["error"].partition(": ")[2], file=sys.stderr)
            return STATUS_USER_ERROR
        print(f"\nnode {failure['node']} failed:\n{failure['traceback']}", file=sys.stderr)
        return STATUS_CRASHED

    def _tell_nodes(self) -> None:
        raise NotImplementedError

    def _all_ended(self) -> bool:
        raise NotImplementedError

    def _failure(self) -> dict[str, Any] | None:
        """The error that ended the program, as in failure.json."""
        return supervised.read_failure(self._workdir / FAILURE_FILE)

    def _end_rest(self) -> None:
        """Kills what is left over."""


class _Threads(Run):
    """A program in the threads of this process, run by Launchpad; nothing is started again."""

    def __init__(self, manager: Any, workdir: Path):
        super().__init__(workdir)
        self._manager = manager
        self._waited = threading.Event()
        threading.Thread(target=self._wait, daemon=True).start()

    def _tell_nodes(self) -> None:
        threading.Thread(target=self._manager.stop_and_wait, daemon=True).start()

    def _all_ended(self) -> bool:
        return self._waited.is_set()

    def _wait(self) -> None:
        """Waits for the nodes; where one fails, Launchpad stops the others."""
        try:
            self._manager.wait()
        except BaseException:  # Launchpad raises whatever the node raised
            self._has_failed = self._stopping_since is None
            if self._stopping_since is None:
                self._stopping_since = time.monotonic()
            self._manager.wait(raise_error=False)
        self._waited.set()


class Processes(Run):
    """A program of processes, which are started again when they die."""

    def __init__(
        self,
        workdir: Path,
        line: ProgressLine,
        supervise: Callable[[Callable[[Restart], None]], Supervisor],
    ):
        """Starts all of them.

        Args:
          workdir: of the run.
          line: says which processes are started again.
          supervise: starts the processes; told whom to tell of restarts.
        """
        super().__init__(workdir)
        self._line = line
        self._log = make_logger(workdir, "supervisor", "actor_steps")
        self._actor_steps = 0
        self._supervisor = supervise(self._report)

    def poll(self, actor_steps: int) -> None:
        """Also starts again what has died."""
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

    def _tell_nodes(self) -> None:
        self._supervisor.stop()

    def _all_ended(self) -> bool:
        return self._supervisor.ended

    def _failure(self) -> dict[str, Any] | None:
        return self._supervisor.failure

    def _end_rest(self) -> None:
        self._supervisor.close()
        self._log.close()


def _supervise_locally(
    program: lp.Program,
    experiment: ExperimentConfig,
    workdir: Path,
    starter: ForkingStarter,
    line: ProgressLine,
    on_restart: Callable[[Restart], None],
) -> Supervisor:
    """Starts the processes of a program on this machine."""
    config = experiment.distributed

    def start(commands: Iterable[Command]) -> Supervisor:
        for command in commands:
            # Launchpad in the node never kills it either.
            command.command_as_list.append("--lp_termination_notice_secs=-1")
        return Supervisor(
            workdir,
            commands,
            config.max_restarts,
            config.hang_seconds,
            on_restart,
            start_process=starter,
        )

    with _running_commands_by(start):
        supervisor: Supervisor = lp.launch(
            program,
            launch_type="local_mp",
            terminal="output_to_files",
            local_resources=_local_resources(program, experiment),
        )
    ports = [
        address.resolve().rpartition(":")[2]
        for node in program.get_all_nodes()
        for address in node.addresses
    ]
    line.message(
        f"ports {', '.join(ports)} are open on all network interfaces to whoever reaches this "
        "machine: see docs/reliability.md"
    )
    return supervisor


@contextlib.contextmanager
def _running_commands_by(start: Callable[[Iterable[Command]], Any]) -> Iterator[None]:
    """Has Launchpad hand its commands to `start` instead of running them."""
    runners = run_locally._LOCAL_LAUNCHER_MAP
    name = run_locally.SEPARATE_TERMINAL_OUTPUT_TO_FILES
    original = runners[name]
    runners[name] = start
    try:
        yield
    finally:
        runners[name] = original


@contextlib.contextmanager
def _signals(run: Run) -> Iterator[None]:
    """SIGTERM, which also is how a node ends the program, and Ctrl-C stop the run."""
    old = [
        signal.signal(signal.SIGTERM, lambda *_: run.stop()),
        signal.signal(signal.SIGINT, lambda *_: run.stop(interrupted=True)),
    ]
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old[0])
        signal.signal(signal.SIGINT, old[1])


class _Watcher:
    """Feeds the progress line from the counter, in its own thread.

    reports: the counter's newest.
    actor_steps: the newest count.
    """

    def __init__(self, counter: lp.CourierHandle, experiment: ExperimentConfig, line: ProgressLine):
        self._experiment = experiment
        self._line = line
        self.reports: Mapping[str, Any] = {}
        self.actor_steps = 0
        self._closed = threading.Event()
        counter.set_client_kwargs(call_timeout=5.0)
        self._counter = counter
        threading.Thread(target=self._watch, daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def _watch(self) -> None:
        client: lp.CourierClient | None = None
        while not self._closed.wait(1.0):
            try:
                client = client or self._counter.dereference()
                counts, self.reports = client.snapshot()
                self.actor_steps = counts.get("actor_steps", 0)
                self._line.update(make_progress(self._experiment, counts, dict(self.reports)))
            except Exception:  # not up yet, or gone already, perhaps to another address
                client = None


def leave(status: int) -> NoReturn:
    """Leaves the process now: threads that still run can hold it up no more."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
