"""How a program starts, what the person sees meanwhile, and how it ends.

Launchpad 0.5.0 alone ends a program with status 137, hides a crashed process, and kills
its own launcher. Here Launchpad starts the nodes and tells them to stop; this module waits
for them, ends what does not end, and leaves with a status that says what happened.
"""

import contextlib
import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import launchpad as lp
import psutil
from absl import flags
from launchpad.launch.run_locally import launch_local_output_to_files
from launchpad.nodes.python.local_multi_processing import PythonProcess

from mukoe.layouts.distributed.nodes import FAILURE_FILE
from mukoe.layouts.experiment import ExperimentConfig
from mukoe.layouts.reporting import make_progress, reported_time_line, what_next
from mukoe.layouts.resources import process_environment
from mukoe.observability.progress import ProgressLine

STATUS_CRASHED = 1
STATUS_USER_ERROR = 2
STATUS_INTERRUPTED = 130

_GRACE_SECONDS = 12.0
_POLL_SECONDS = 0.2
_LOG_LINES = 20


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
    (workdir / FAILURE_FILE).unlink(missing_ok=True)
    manager = _start(program, experiment, workdir, launch_type)
    run = _Run(manager, workdir)
    with _signals(run), ProgressLine() as line:
        watcher = _Watcher(counter, experiment, line)
        while not run.ended:
            time.sleep(_POLL_SECONDS)
            run.poll()
        watcher.close()
    status = run.status(line)
    if status in (0, STATUS_INTERRUPTED):
        if text := reported_time_line(watcher.reports):
            print(text)
        print(what_next(workdir))
    return status


def _start(
    program: lp.Program, experiment: ExperimentConfig, workdir: Path, launch_type: str
) -> Any:
    # Negative: Launchpad never kills by itself.
    flags.FLAGS["lp_termination_notice_secs"].value = -1
    if launch_type in ("local_mt", "test_mt"):
        return lp.launch(program, launch_type="local_mt")
    # Read from LAUNCHPAD_LOGGING_DIR when it was imported, before there was a workdir.
    launch_local_output_to_files._LOGGING_DIR = str(workdir / "logs" / "nodes")
    with contextlib.redirect_stdout(io.StringIO()):
        return lp.launch(
            program,
            launch_type="local_mp",
            terminal="output_to_files",
            local_resources=_local_resources(program, experiment),
        )


def _local_resources(program: lp.Program, experiment: ExperimentConfig) -> dict[str, Any]:
    """Threads and devices of each group's processes."""
    distributed = experiment.distributed
    acting = process_environment(distributed.actor_threads, cpu_only=True)
    learning = process_environment(distributed.learner_threads)
    groups = {
        "replay": acting,
        "counter": acting,
        "learner": learning,
        "inference": learning,
        "actor": acting,
        "evaluator": acting,
    }
    return {label: PythonProcess(env=groups[label]) for label in program.groups}


class _Run:
    """A started program: is it still going, why does it end, and how did it end."""

    def __init__(self, manager: Any, workdir: Path):
        self._manager = manager
        self._workdir = workdir
        self._interrupted = False
        self._failed = False
        self._stopping_since: float | None = None
        self._all_ended = threading.Event()
        self.ended = False
        threading.Thread(target=self._wait, daemon=True).start()

    def stop(self, interrupted: bool = False) -> None:
        """Asks all nodes to stop; again by Ctrl-C, they are not waited for."""
        if self._stopping_since is not None:
            if interrupted:
                self.ended = True
            return
        self._interrupted = interrupted
        self._stopping_since = time.monotonic()
        threading.Thread(target=self._manager.stop_and_wait, daemon=True).start()

    def poll(self) -> None:
        """Notices the end, and the end of patience."""
        if self._all_ended.is_set():
            self.ended = True
        elif self._stopping_since is not None:
            self.ended |= time.monotonic() - self._stopping_since > _GRACE_SECONDS

    def status(self, line: ProgressLine) -> int:
        """Ends what is left over, and returns the exit status."""
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        failure = self._read_failure()
        if failure is None and not self._failed:
            return STATUS_INTERRUPTED if self._interrupted else 0
        if failure is None:
            line.message(f"a node died without a word; see {self._workdir / 'logs' / 'nodes'}")
            return STATUS_CRASHED
        if failure["is_user_error"]:
            print("error:", failure["error"].partition(": ")[2], file=sys.stderr)
            return STATUS_USER_ERROR
        print(f"\nnode {failure['node']} failed:\n{failure['traceback']}", file=sys.stderr)
        return STATUS_CRASHED

    def _read_failure(self) -> dict[str, Any] | None:
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            return json.loads((self._workdir / FAILURE_FILE).read_text())
        return None

    def _wait(self) -> None:
        """Waits for the nodes; where one fails, Launchpad stops the others."""
        try:
            self._manager.wait()
        except BaseException:  # Launchpad raises whatever the node raised
            self._failed = self._stopping_since is None
            if self._stopping_since is None:
                self._stopping_since = time.monotonic()
            self._manager.wait(raise_error=False)
        self._all_ended.set()


@contextlib.contextmanager
def _signals(run: _Run) -> Iterator[None]:
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
    """

    def __init__(self, counter: lp.CourierHandle, experiment: ExperimentConfig, line: ProgressLine):
        self._experiment = experiment
        self._line = line
        self.reports: Mapping[str, Any] = {}
        self._closed = threading.Event()
        counter.set_client_kwargs(call_timeout=5.0)
        self._thread = threading.Thread(
            target=self._watch, args=(counter.dereference(),), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._closed.set()

    def _watch(self, counter: lp.CourierClient) -> None:
        while not self._closed.wait(1.0):
            with contextlib.suppress(Exception):  # not up yet, or gone already
                counts, self.reports = counter.snapshot()
                self._line.update(make_progress(self._experiment, counts, dict(self.reports)))


def leave(status: int) -> NoReturn:
    """Leaves the process now: threads that still run can hold it up no more."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
