"""The main loop of a process that trains: signals, progress line, end."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from mukoe.configuration.exclusive_workdir import exclusive_workdir
from mukoe.layouts.common.counting import Counter
from mukoe.layouts.common.experiment import RunConfig
from mukoe.layouts.common.resume_limits import InterruptedResumeError
from mukoe.layouts.common.shutdown import end_reason, exit_status, print_summary
from mukoe.learning.non_finite import saving_bad_batches
from mukoe.terminal.interruption import collected_signals
from mukoe.terminal.progress_line import erase_line, process_line, show_phase
from mukoe.terminal.progress_text import Progress


class SteppedRun(Protocol):
    """A run that advances one step at a time."""

    @property
    def counter(self) -> Counter:
        """Counts and newest reports."""

    @property
    def ended(self) -> bool:
        """True once a step limit or the target return is reached."""

    def step(self) -> None:
        """Advances the run."""

    def close(self) -> None:
        """Saves, and closes all files and environments."""

    def release(self) -> None:
        """Closes logs and environments, without saving."""

    def progress(self) -> Progress:
        """Returns the content of the progress line."""

    def time_line(self) -> str | None:
        """Returns the line of the shares of time."""


def run_to_end(
    make_run: Callable[[Callable[[], bool]], SteppedRun],
    expectation: str,
    settings: RunConfig,
    workdir: Path,
) -> int:
    """Steps a run to its end, and returns the exit status.

    Args:
      make_run: function that builds the run, given the function that is True once it has to stop.
      expectation: line that is printed before the first step.
      settings: settings of the run.
      workdir: existing directory of the run.

    Returns:
      0 at the end of the run and after SIGTERM, 130 after Ctrl-C; the last checkpoint is written
      in each case, or the status is 1. A second Ctrl-C skips it.

    Raises:
      UserError: another process trains in the workdir.
    """
    with (
        exclusive_workdir(workdir),
        collected_signals() as signals,
        process_line() as line,
        saving_bad_batches(workdir),
    ):
        show_phase("building agent and environments")
        try:
            run = make_run(lambda: bool(signals))
        except InterruptedResumeError:
            return _end_before_start(workdir, settings, signals)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(run.release)
            line.message(expectation)
            line.follow(run.progress)
            while not signals and not run.ended:
                run.step()
            on_failure.pop_all()
        run.close()
    counts, reports = run.counter.snapshot()
    reason = end_reason(settings, counts, reports, signals)
    print_summary(reason, run.time_line(), workdir, settings, counts)
    return exit_status(signals, workdir, counts)


def _end_before_start(workdir: Path, settings: RunConfig, signals: Sequence[int]) -> int:
    """Prints the summary of a run that was stopped while it was restored."""
    erase_line()
    reason = end_reason(settings, {}, {}, signals)
    print_summary(f"{reason}; checkpoints are unchanged", None, workdir, settings, {})
    return exit_status(signals, workdir, {})
