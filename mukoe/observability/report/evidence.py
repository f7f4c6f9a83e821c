"""Published records of runs: small files in the repository, from which the results page is made.

docs/evidence/cartpole_5/run.json          fields of `Evidence`
docs/evidence/cartpole_5/evaluations.csv   evaluations in training, a row each, over agent steps;
                                           over learner steps if no actor ran
"""

import csv
import dataclasses
import io
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mukoe.errors import UserError
from mukoe.observability.report.curves import (
    ACTOR_STEPS,
    LEARNER_STEPS,
    MINUTES,
    Curve,
    curve_of,
    first_reached,
)
from mukoe.observability.report.logs import natural_key
from mukoe.observability.report.runs import SEED_FIELD, Run
from mukoe.system import write_atomically

RECORD_FILE = "run.json"
EVALUATIONS_FILE = "evaluations.csv"

_SOURCE = "workdir"
_COMMAND_FIELDS = ("python", "versions", "cpus")
_RETURN = "episode_return"


@dataclasses.dataclass(frozen=True)
class Evaluations:
    """Evaluations in training.

    axis: `ACTOR_STEPS`, or `LEARNER_STEPS` for a run without actors.
    steps: `[N]` steps on that axis; NaN where unknown.
    minutes: `[N]` minutes since the start of the run; NaN where unknown.
    episode_return: `[N]` mean return of the episodes.
    """

    axis: str
    steps: np.ndarray
    minutes: np.ndarray
    episode_return: np.ndarray

    def curve(self, axis: str) -> Curve:
        """Returns the returns over an axis, without points if it is another kind of steps."""
        if axis not in (self.axis, MINUTES):
            return Curve(np.zeros(0), np.zeros(0))
        x = self.minutes if axis == MINUTES else self.steps
        known = np.isfinite(x) & np.isfinite(self.episode_return)
        return Curve(x[known], self.episode_return[known])


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Record of one run.

    name: name of the record and of its folder.
    group: name of the runs that differ in the seed only.
    sources: file of the record to the origin of its numbers, such as `workdir`.
    environment: name of the environment.
    seed: seed of the run, None if unknown.
    config: dotted field to value; all fields, or those that are known.
    command: `argv`, `python`, `versions` and `cpus`; also `resumed`, the `argv` of commands that
      resumed the run with other flags; None if unknown.
    threshold: return that counts as solved; None without one.
    agent_steps: agent steps of all actors.
    episodes: episodes of all actors.
    minutes: wall-clock minutes, without pauses between resumes.
    cpu_hours_at_most: wall-clock hours times available CPU cores, an upper bound.
    last_return, best_return: returns of evaluations in training.
    reached: steps, by their axis, and `minutes` of the first evaluation at the threshold; None if
      no evaluation reached it.
    evaluation: final evaluation, as `mukoe evaluate` writes it; None without it.
    failure: error that ended the run; None if it did not fail.
    notes: remarks on missing and damaged files.
    evaluations: evaluations in training.
    """

    name: str
    group: str
    sources: Mapping[str, str]
    environment: str
    seed: Any
    config: Mapping[str, Any]
    command: Mapping[str, Any] | None
    threshold: float | None
    agent_steps: float | None
    episodes: float | None
    minutes: float | None
    cpu_hours_at_most: float | None
    last_return: float | None
    best_return: float | None
    reached: Mapping[str, float] | None
    evaluation: Mapping[str, Any] | None
    failure: str | None
    notes: tuple[str, ...]
    evaluations: Evaluations


def collect(run: Run, name: str, threshold: float | None) -> Evidence:
    """Makes the record of a finished run.

    Args:
      run: run with its logs.
      name: name of the record.
      threshold: return that counts as solved; None without one.
    """
    curves = {axis: _evaluations(run, axis) for axis in (ACTOR_STEPS, LEARNER_STEPS)}
    axis = next((name for name, curve in curves.items() if curve.x.size), ACTOR_STEPS)
    steps, minutes = curves[axis], _evaluations(run, MINUTES)
    evaluations = Evaluations(
        axis,
        steps.x,
        minutes.x if len(minutes.x) == len(steps.x) else np.full(len(steps.x), np.nan),
        steps.y,
    )
    returns = run.evaluations()
    reached = None if threshold is None else first_reached(run, threshold, axis)
    return Evidence(
        name=name,
        group=without_seed(name, run.seed),
        sources={RECORD_FILE: _SOURCE, EVALUATIONS_FILE: _SOURCE},
        environment=run.environment,
        seed=run.seed,
        config=run.config,
        command=None if run.command is None else _portable(run.command, run.workdir),
        threshold=threshold,
        agent_steps=run.highest(ACTOR_STEPS),
        episodes=run.highest("episodes"),
        minutes=run.minutes,
        cpu_hours_at_most=_hours(run.minutes, (run.command or {}).get("cpus")),
        last_return=float(returns[-1]) if returns.size else None,
        best_return=float(returns.max()) if returns.size else None,
        reached=None if reached is None else {axis: reached[0], MINUTES: reached[1]},
        evaluation=_without_folder(run.evaluation),
        failure=run.failure,
        notes=run.notes,
        evaluations=evaluations,
    )


def _evaluations(run: Run, axis: str) -> Curve:
    return curve_of(run, "evaluator", _RETURN, axis)


def _hours(minutes: float | None, cpus: int | None) -> float | None:
    return None if minutes is None or cpus is None else minutes * cpus / 60


def without_seed(name: str, seed: Any) -> str:
    """Returns a name without the number of the seed at its end."""
    match = re.search(r"[/_.-](seed|s|run)?[_=-]?0*(\d+)$", name)
    return name[: match.start()] if match and match[2] == str(seed) else name


def _portable(command: Mapping[str, Any], workdir: Path) -> dict[str, Any]:
    """Returns the published part of command.json, with paths relative to this folder.

    The commands are the one that started the run, and those that resumed it with other flags.
    """
    started, *resumed = [
        _portable_argv(each.get("argv", []), workdir)
        for each in (*command.get("previous", ()), command)
    ]
    same = {*started, "--resume"}
    changing = [argv for argv in resumed if not same.issuperset(argv)]
    return (
        {"argv": started}
        | ({"resumed": changing} if changing else {})
        | {name: command.get(name) for name in _COMMAND_FIELDS}
    )


def _portable_argv(argv: Iterable[Any], workdir: Path) -> list[str]:
    parts = [str(part) for part in argv]
    for folder in (f"{Path.cwd()}/", f"{workdir.resolve().parent}/"):
        parts = [part.replace(folder, "") for part in parts]
    # A workdir that was moved since has its name alone.
    return [re.sub(r"^--workdir=/.*/", "--workdir=", part) for part in parts]


def _without_folder(evaluation: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Returns an evaluation whose workdir is the name of a folder, not a path of a machine."""
    if evaluation is None or "workdir" not in evaluation:
        return evaluation
    return {**evaluation, "workdir": Path(evaluation["workdir"]).name}


def write_evidence(evidence: Evidence, folder: Path) -> None:
    """Writes a record.

    Args:
      evidence: record of a run.
      folder: folder of the record; it is made if missing.

    Raises:
      UserError: the folder cannot be written.
    """
    record = {
        field.name: getattr(evidence, field.name)
        for field in dataclasses.fields(evidence)
        if field.name not in ("name", "evaluations")
    }
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    evaluations = evidence.evaluations
    writer.writerow((evaluations.axis, MINUTES, _RETURN))
    columns = evaluations.steps, evaluations.minutes, evaluations.episode_return
    for row in zip(*columns, strict=True):
        writer.writerow([_cell(value) for value in row])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / RECORD_FILE, json.dumps(record, indent=1) + "\n")
        write_atomically(folder / EVALUATIONS_FILE, text.getvalue())
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from error


def _cell(value: float) -> str:
    if not np.isfinite(value):
        return ""
    return str(int(value)) if float(value).is_integer() else repr(round(float(value), 6))


def read_evidence(folder: Path) -> Evidence:
    """Reads a record.

    Raises:
      UserError: a file is missing, or is not as `write_evidence` writes it.
    """
    try:
        record = json.loads((folder / RECORD_FILE).read_text())
        with (folder / EVALUATIONS_FILE).open(newline="") as file:
            axis, *others = header = next(csv.reader(file))
            if axis not in (ACTOR_STEPS, LEARNER_STEPS) or others != [MINUTES, _RETURN]:
                raise ValueError(f"{EVALUATIONS_FILE} has the columns {', '.join(header)}")
            rows = [[float(cell or "nan") for cell in row] for row in csv.reader(file)]
        columns = np.array(rows).reshape(-1, 3).T
        return Evidence(
            **{
                **record,
                "name": folder.name,
                "notes": tuple(record["notes"]),
                "evaluations": Evaluations(axis, *columns),
            }
        )
    except (OSError, ValueError, TypeError, KeyError, StopIteration) as error:
        raise UserError(f"cannot read the evidence in {folder}: {error}") from error


def read_all(root: Path) -> list[Evidence]:
    """Reads all records in a folder, in the natural order of their names.

    Raises:
      UserError: the folder holds no record, or one cannot be read.
    """
    folders = [path.parent for path in root.glob(f"*/{RECORD_FILE}")]
    if not folders:
        raise UserError(f"{root} holds no evidence: no folder in it has a {RECORD_FILE}")
    return [read_evidence(path) for path in sorted(folders, key=lambda p: natural_key(p.name))]


def seedless_config(evidence: Evidence) -> dict[str, Any]:
    """Returns the configuration without the seed."""
    return {name: value for name, value in evidence.config.items() if name != SEED_FIELD}
