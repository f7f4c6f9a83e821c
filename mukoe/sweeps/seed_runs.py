"""Runs of one configuration with several seeds, `WORKDIR/seed_N`."""

import dataclasses
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mukoe.configuration.exclusive_workdir import exclusive_workdir
from mukoe.configuration.workdir import CONFIG_FILE
from mukoe.errors import UserError
from mukoe.observability.report.run_page import make_page
from mukoe.observability.report.runs import load_run
from mukoe.sweeps.child_run import ChildRun
from mukoe.sweeps.side_by_side import POLL_SECONDS, SideBySide, signal_text, wait_until
from mukoe.system import write_atomically
from mukoe.terminal.interruption import STATUS_INTERRUPTED, cleanup_at_exit, collected_signals
from mukoe.terminal.progress_line import ProgressLine, erase_line, process_line
from mukoe.terminal.progress_text import Progress

_SEEDS_FILE = "seeds.json"
_REPORT = "report.html"


@dataclasses.dataclass
class _Outcomes:
    """Names of the runs that have ended: finished, stopped, and failed with their errors."""

    finished: list[str] = dataclasses.field(default_factory=list)
    stopped: list[str] = dataclasses.field(default_factory=list)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)


def train_seeds(
    workdir: Path,
    seeds: Sequence[int],
    flags: Sequence[str],
    overrides: Mapping[str, str],
    max_steps: int,
    resume: bool,
    resume_command: str,
    at_once: int,
    environment: Mapping[str, str],
) -> int:
    """Trains all seeds and writes the report that compares them.

    A seed that fails does not end the others. Resumed, finished seeds are skipped, unfinished ones
    resumed, and those without a run started with the flags of the first command.

    Args:
      workdir: directory of the workdirs of the seeds.
      seeds: seeds.
      flags: flags of the command other than --workdir, --seeds and --resume.
      overrides: text by dotted field of the command, which may extend finished runs.
      max_steps: agent steps of a run, for the progress line.
      resume: True to resume the seeds of an earlier command.
      resume_command: command that resumes them.
      at_once: number of seeds that train at a time.
      environment: environment variables of the runs that the user has not set.

    Returns:
      0, 1 if a seed failed, or 130 after Ctrl-C.

    Raises:
      UserError: the workdir holds other runs or cannot be written, or there is nothing to resume.
    """
    started_with = _prepare(workdir, flags, resume)
    children = [ChildRun(f"seed {seed}", workdir / f"seed_{seed}") for seed in seeds]
    flags_of = {
        child.name: ["--resume", *flags]
        if resume and child.exists
        else [*started_with, *(flags if resume else ()), f"--seed={seed}"]
        for child, seed in zip(children, seeds, strict=True)
    }
    group = SideBySide(at_once)
    with (
        exclusive_workdir(workdir),
        collected_signals() as signals,
        cleanup_at_exit(group.kill),
        process_line() as line,
    ):
        finished = [child for child in children if resume and child.has_finished(overrides)]
        outcomes = _Outcomes([child.name for child in finished])
        _train(children, flags_of, group, environment, max_steps, outcomes, line, signals)
    erase_line()
    return _summarise(children, outcomes, signals, workdir, resume_command)


def first_flags(workdir: Path) -> list[str]:
    """Returns the flags of the command that started the seeds of a workdir.

    Raises:
      UserError: there are none, or they cannot be read.
    """
    path = workdir / _SEEDS_FILE
    try:
        return list(json.loads(path.read_text())["flags"])
    except FileNotFoundError as error:
        raise UserError(
            f"there are no seeds to resume in {workdir}: start them without --resume"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def _prepare(workdir: Path, flags: Sequence[str], resume: bool) -> list[str]:
    """Writes the flags of the first command, or returns them if it is resumed."""
    if resume:
        return first_flags(workdir)
    path = workdir / _SEEDS_FILE
    if path.exists() or (workdir / CONFIG_FILE).exists():
        raise UserError(
            f"workdir {workdir} already holds an experiment: resume it with --resume, or give "
            "another --workdir"
        )
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({"flags": list(flags)}, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"cannot write to workdir {workdir}: {error.strerror}") from error
    return list(flags)


def _train(
    children: Sequence[ChildRun],
    flags_of: Mapping[str, Sequence[str]],
    group: SideBySide,
    environment: Mapping[str, str],
    max_steps: int,
    outcomes: _Outcomes,
    line: ProgressLine,
    signals: Sequence[int],
) -> None:
    """Trains the runs that have not finished until all have ended or a signal arrives."""
    waiting = [child for child in children if child.name not in outcomes.finished]
    steps = {child.name: child.steps() for child in children}
    while (waiting or group.running) and not signals:
        while waiting and group.has_room:
            child = waiting.pop(0)
            group.start(child, flags_of[child.name], environment)
        steps |= {child.name: child.steps() for child in group.running}
        _note_ended(group, outcomes, line)
        line.update(_progress(len(waiting), group, outcomes, steps, max_steps, len(children)))
        wait_until(lambda: signals, POLL_SECONDS)
    if signals:
        group.stop()
        _note_ended(group, outcomes, line)
    outcomes.stopped += [child.name for child in waiting]


def _note_ended(group: SideBySide, outcomes: _Outcomes, line: ProgressLine) -> None:
    for child, status in group.take_ended():
        if status not in (0, STATUS_INTERRUPTED) and not child.was_terminated:
            outcomes.failed[child.name] = child.error_line()
            line.message(f"{child.name} failed: {outcomes.failed[child.name]}")
        elif child.has_finished():
            outcomes.finished.append(child.name)
            returns = child.evaluations()
            last = f", last evaluation {returns[-1][1]:g}" if returns else ""
            line.message(f"{child.name} finished after {child.steps():,} steps{last}")
        else:
            outcomes.stopped.append(child.name)


def _progress(
    num_waiting: int,
    group: SideBySide,
    outcomes: _Outcomes,
    steps: Mapping[str, int],
    max_steps: int,
    count: int,
) -> Progress:
    """Returns the content of the line: counts of seeds, and the steps of all of them."""
    parts = [f"{len(outcomes.finished)}/{count} seeds"]
    if group.running:
        numbers = ",".join(child.name.rpartition(" ")[2] for child in group.running)
        parts.append(f"training {numbers}" if len(numbers) < 20 else "training")
    if num_waiting:
        parts.append(f"{num_waiting} waiting")
    if outcomes.failed:
        parts.append(f"{len(outcomes.failed)} failed")
    # A finished seed may have reached its target return before the step limit.
    done = sum(
        max_steps if name in outcomes.finished or name in outcomes.failed else min(n, max_steps)
        for name, n in steps.items()
    )
    return Progress(", ".join(parts), steps=done, max_steps=max_steps * count, advances=True)


def _summarise(
    children: Sequence[ChildRun],
    outcomes: _Outcomes,
    signals: Sequence[int],
    workdir: Path,
    resume_command: str,
) -> int:
    """Prints the end of the seeds and the path of the report, and returns the exit status."""
    counts = [f"{len(outcomes.finished)} of {len(children)} seeds finished"]
    counts += [f"{len(outcomes.failed)} failed"] if outcomes.failed else []
    print(f"ended: {signal_text(signals)}{', '.join(counts)}")
    for name, error in outcomes.failed.items():
        print(f"error: {name}: {error}", file=sys.stderr)
    if outcomes.stopped or outcomes.failed:
        print(f"resume with:   {resume_command}")
    with_runs = [child for child in children if child.exists]
    if with_runs:
        report = workdir / _REPORT
        write_atomically(report, make_page([load_run(child.workdir) for child in with_runs]))
        print(f"report:        {report}")
    if signal.SIGINT in signals:
        return STATUS_INTERRUPTED
    return 1 if outcomes.failed else 0
