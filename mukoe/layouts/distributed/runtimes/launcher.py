"""Launcher: start of a program, its signals, and the summary at its end.

The launcher waits for the nodes, kills those that do not end, and exits with a status for the
reason of the end.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.common.reporting import expectation, reported_time_line
from mukoe.layouts.common.shutdown import end_reason, print_summary
from mukoe.layouts.distributed.nodes.counter import read_counts
from mukoe.layouts.distributed.runtimes.runs import Run
from mukoe.layouts.distributed.runtimes.watcher import CounterWatcher
from mukoe.layouts.distributed.supervision.supervised import FAILURE_FILE
from mukoe.system import allow_open_files
from mukoe.terminal.interruption import STATUS_INTERRUPTED
from mukoe.terminal.progress_line import ProgressLine, process_line, show_phase

_POLL_SECONDS = 0.2
# A process opens up to 40 files by itself. An actor has several connections to each server; a
# program in threads holds both ends.
_OPEN_FILES = 128
_OPEN_FILES_PER_ACTOR = 16


def allow_connections(experiment: ExperimentConfig) -> None:
    """Raises the limit of open files to the number that a program on this machine needs.

    Raises:
      UserError: the number exceeds the limit of the machine.
    """
    distributed = experiment.distributed
    nodes = distributed.num_actors + distributed.num_reanalysers
    needed = _OPEN_FILES + _OPEN_FILES_PER_ACTOR * nodes
    allow_open_files(needed, f"{nodes} actors and reanalysers")


def run_to_end(
    start: Callable[[ProgressLine], Run],
    connect: Callable[[], Any],
    experiment: ExperimentConfig,
    workdir: Path,
) -> int:
    """Starts a program, waits for its end, and returns the exit status.

    The status is 0 at the step limit or after SIGTERM, 130 after Ctrl-C, 1 if a node failed, 2 if
    a node raised a UserError.

    Args:
      start: `progress line -> run`; starts the program.
      connect: function that returns a client of the program's counter.
      experiment: agent, environment and settings.
      workdir: directory of the run.
    """
    (workdir / FAILURE_FILE).unlink(missing_ok=True)
    with process_line() as line:
        show_phase("starting nodes")
        line.message(expectation(experiment, workdir))
        run = start(line)
        with _stop_signals(run):
            watcher = CounterWatcher(connect, experiment, line)
            while not run.ended:
                time.sleep(_POLL_SECONDS)
                if run.stopping:
                    watcher.show_stage("stopping nodes")
                run.poll(watcher.actor_steps)
            watcher.close()
            watcher.show_stage("ended")
    status = run.status(line)
    if status in (0, STATUS_INTERRUPTED):
        signals = (signal.SIGINT,) if status == STATUS_INTERRUPTED else ()
        # The watcher has the counts of up to a second before the end.
        seen, stored = watcher.counts, read_counts(workdir)
        counts = {n: max(seen.get(n, 0), stored.get(n, 0)) for n in {**seen, **stored}}
        reason = end_reason(experiment.run, counts, watcher.reports, signals)
        time_line = reported_time_line(watcher.reports)
        print_summary(reason, time_line, workdir, experiment.run, counts)
    return status


@contextlib.contextmanager
def _stop_signals(run: Run) -> Iterator[None]:
    """Stops the run at Ctrl-C and SIGTERM; nodes send SIGTERM to stop the program."""
    old = [
        signal.signal(signal.SIGTERM, lambda *_: run.stop()),
        signal.signal(signal.SIGINT, lambda *_: run.stop(interrupted=True)),
    ]
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old[0])
        signal.signal(signal.SIGINT, old[1])


def leave(status: int) -> NoReturn:
    """Exits at once, without waiting for threads that still run."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
