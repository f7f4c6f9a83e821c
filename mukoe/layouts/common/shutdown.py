"""The end of a run: step limit, target return, signals, summary."""

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mukoe.layouts.common.checkpointing import open_checkpointer
from mukoe.layouts.common.experiment import RunConfig
from mukoe.layouts.common.reporting import command_of, next_commands
from mukoe.observability.advice.advice import summary_lines
from mukoe.terminal.interruption import STATUS_INTERRUPTED
from mukoe.terminal.progress_line import erase_line


def step_limit_reached(run: RunConfig, counts: Mapping[str, int]) -> bool:
    """Returns whether `run.max_actor_steps` or `run.max_learner_steps` is reached."""
    has_acted = counts.get("actor_steps", 0) >= run.max_actor_steps
    return has_acted or learner_limit_reached(run, counts)


def learner_limit_reached(run: RunConfig, counts: Mapping[str, int]) -> bool:
    """Returns whether the learner has made `run.max_learner_steps` steps."""
    limit = run.max_learner_steps
    return limit is not None and counts.get("learner_steps", 0) >= limit


def target_return_reached(run: RunConfig, mean_return: float) -> bool:
    """Returns whether the mean return of an evaluation reaches `run.target_return`."""
    return run.target_return is not None and mean_return >= run.target_return


def end_reason(
    run: RunConfig,
    counts: Mapping[str, int],
    reports: Mapping[str, Any],
    signals: Sequence[int] = (),
) -> str:
    """Returns the reason of the end of a run that did not fail.

    Args:
      run: settings of the run.
      counts: counts of the run.
      reports: newest reports of the counter; `reached_return` is the mean return of the evaluation
        that reached the target.
      signals: signals that the process has received.
    """
    if signal.SIGINT in signals:
        return "Ctrl-C"
    if "reached_return" in reports:
        return (
            f"the evaluation's mean return {reports['reached_return']:g} reached "
            f"run.target_return={run.target_return:g}"
        )
    if learner_limit_reached(run, counts):
        limit = f"run.max_learner_steps={run.max_learner_steps:,}"
        return f"the step limit is reached ({limit})"
    if step_limit_reached(run, counts):
        limit = f"run.max_actor_steps={run.max_actor_steps:,}"
        before = "" if counts.get("learner_steps", 0) else " before the first update"
        return f"the step limit is reached{before} ({limit})"
    return "SIGTERM"


def print_summary(
    reason: str,
    time_line: str | None,
    workdir: Path,
    run: RunConfig,
    counts: Mapping[str, int],
) -> None:
    """Prints the summary of a run that has ended.

    Args:
      reason: reason of the end, see `end_reason`.
      time_line: shares of the run's time, see `reporting.time_line`.
      workdir: directory of the run.
      run: settings of the run.
      counts: counts of the run.
    """
    print(f"ended: {reason}")
    if time_line:
        print(time_line)
    for line in summary_lines(workdir, command_of("advise", workdir)):
        print(line)
    print(next_commands(workdir, run, counts))


def exit_status(signals: Sequence[int], workdir: Path, counts: Mapping[str, int]) -> int:
    """Returns the exit status of a run that did not fail.

    Args:
      signals: signals that the process has received.
      workdir: directory of the run.
      counts: counts of the run; empty if it was stopped before it was restored.

    Returns:
      0, 130 after SIGINT, or 1 after an error line if the last checkpoint was not written.
    """
    step, updates = open_checkpointer(workdir).latest_step(), counts.get("learner_steps", 0)
    if counts and (step is None or step < updates):
        newest = "there is none" if step is None else f"the newest one is of learner step {step:,}"
        erase_line()
        print(
            f"error: the checkpoint of learner step {updates:,} was not written: {newest}",
            file=sys.stderr,
        )
        return 1
    return STATUS_INTERRUPTED if signal.SIGINT in signals else 0
