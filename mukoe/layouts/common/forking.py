"""Forks: runs that continue from a checkpoint of another run, with other settings.

A fork without a change continues as its origin did, bit for bit where the origin's run state was
saved (see `mukoe.layouts.common.checkpointing`). With one change, the two runs differ by that
change alone.
"""

import csv
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mukoe.configuration.workdir import CONFIG_COPY, CONFIG_FILE, FORK_FILE, stored_config
from mukoe.errors import UserError
from mukoe.layouts.common.checkpointing import stored_counts
from mukoe.learning.checkpoint_series import CheckpointSeries
from mukoe.observability.loggers.csv_logger import read_rows
from mukoe.system import write_atomically

_COPIED = (CONFIG_FILE, CONFIG_COPY, "command.json")
# The run state is the more complete checkpoint, so that it comes first.
_SERIES = ("run", "latest")


class ForkPoint(NamedTuple):
    """Checkpoint from which a fork continues.

    origin: workdir of the run.
    actor_steps: agent steps at the checkpoint; learner steps of a run on stored data.
    checkpoints: its folders in `origin / "checkpoints"`.
    """

    origin: Path
    actor_steps: int
    checkpoints: tuple[Path, ...]


def find_fork_point(text: str) -> ForkPoint:
    """Returns the checkpoint that `WORKDIR` (the newest) or `WORKDIR@STEPS` names.

    Raises:
      UserError: the workdir holds no run, or no checkpoint with these steps.
    """
    folder, at, steps = text.rpartition("@")
    if not (at and steps.isdecimal()):
        folder, steps = text, ""
    origin = Path(folder).expanduser().resolve()
    stored_config(origin)
    found: dict[int, list[Path]] = {}
    for name in _SERIES:
        series = CheckpointSeries(origin / "checkpoints" / name, keep=1)
        for step in series.steps():
            reached = _reached(series.read_metadata(step)["counts"])
            found.setdefault(reached, []).append(Path(name, str(step)))
    if not found:
        raise UserError(f"{origin} has no checkpoint to fork from")
    chosen = int(steps) if steps else max(found)
    if chosen not in found:
        listed = ", ".join(map(str, sorted(found)))
        raise UserError(f"{origin} has no checkpoint at {chosen} steps; it has some at {listed}")
    return ForkPoint(origin, chosen, tuple(found[chosen]))


def copy_fork(point: ForkPoint, workdir: Path) -> None:
    """Copies what a run needs to continue from a checkpoint, and records the origin.

    The logs are copied up to the checkpoint.

    Args:
      point: checkpoint of the origin.
      workdir: workdir of the fork, which holds no run.

    Raises:
      UserError: the workdir holds a run, or a file cannot be copied.
    """
    if (workdir / CONFIG_FILE).exists():
        raise UserError(f"workdir {workdir} already holds an experiment: give another --workdir")
    copy = workdir.parent / f".{workdir.name}.{os.getpid()}.fork"
    try:
        _fill(copy, point)
        workdir.mkdir(parents=True, exist_ok=True)
        # A folder with a configuration is a workdir, so that it comes last.
        for path in sorted(copy.iterdir(), key=lambda path: path.name == CONFIG_FILE):
            os.replace(path, workdir / path.name)
    except OSError as error:
        raise UserError(f"cannot copy {point.origin} to {workdir}: {error.strerror}") from error
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def is_at_fork_point(workdir: Path) -> bool:
    """Returns True for a fork whose newest checkpoint is still that of its origin."""
    try:
        fork = json.loads((workdir / FORK_FILE).read_text())
    except FileNotFoundError:
        return False
    return bool(_reached(stored_counts(workdir)) == fork["actor_steps"])


def _reached(counts: Mapping[str, int]) -> int:
    """Returns agent steps; learner steps of a run on stored data."""
    return int(counts.get("actor_steps", counts.get("learner_steps", 0)))


def _fill(copy: Path, point: ForkPoint) -> None:
    for checkpoint in point.checkpoints:
        path = Path("checkpoints") / checkpoint
        shutil.copytree(point.origin / path, copy / path)
    for name in _COPIED:
        if (point.origin / name).exists():
            shutil.copy2(point.origin / name, copy / name)
    (copy / "logs").mkdir()
    for log in sorted((point.origin / "logs").glob("*.csv")):
        _copy_log(log, copy / "logs" / log.name, point.actor_steps)
    fork = {"origin": str(point.origin), "actor_steps": point.actor_steps}
    write_atomically(copy / FORK_FILE, json.dumps(fork, indent=2) + "\n")


def _copy_log(log: Path, copy: Path, actor_steps: int) -> None:
    """Copies the rows up to a number of agent steps, or learner steps of a run without them."""
    rows, columns, _ = read_rows(log)
    axis = "actor_steps" if "actor_steps" in columns else "learner_steps"
    with open(copy, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row in rows if float(row.get(axis) or "inf") <= actor_steps)
