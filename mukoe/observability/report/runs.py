"""What a workdir says about its run, read so that nothing missing or torn is fatal."""

import dataclasses
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mukoe.configuration.workdir import flatten, stored_config
from mukoe.errors import UserError
from mukoe.observability.loggers.csv_logger import read_rows

SEED_FIELD = "run.seed"
ABSENT = "absent"

_BATCH_SIZE_FIELD = "agent.replay.batch_size"
_ENVIRONMENT_FIELDS = tuple(f"environment.{name}" for name in ("game", "env", "name", "id"))
_MOST_DIFFERENCES = 3
_NODE_NUMBER = re.compile(r"_\d+$")


@dataclasses.dataclass(frozen=True)
class Log:
    """The numbers of one CSV file.

    label: the part of the program that wrote it, such as `actor_0`.
    columns: name to `[N]` float64, one entry per row, NaN where the row has no finite number.
    """

    label: str
    columns: Mapping[str, np.ndarray]

    @property
    def kind(self) -> str:
        """The label without the number of the node, such as `actor`."""
        return _NODE_NUMBER.sub("", self.label)

    def highest(self, column: str) -> float | None:
        """Returns the largest number of a column, None without one."""
        values = self.columns.get(column, np.zeros(0))
        values = values[np.isfinite(values)]
        return float(values.max()) if values.size else None


@dataclasses.dataclass(frozen=True)
class Run:
    """One workdir.

    workdir: as it was given.
    config: dotted field to value.
    logs: in the order of their labels.
    evaluation: what `programs/evaluate.py` found, from evaluation.json; None without it.
    command: `argv`, `python`, `versions` and `cpus`, from command.json; None without it.
    failure: why the run ended, from failure.json; None if it did not fail.
    notes: what is missing or cannot be read, in words.
    """

    workdir: Path
    config: Mapping[str, Any]
    logs: tuple[Log, ...]
    evaluation: Mapping[str, Any] | None = None
    command: Mapping[str, Any] | None = None
    failure: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def seed(self) -> Any:
        """The run's seed, None if the config has none."""
        return self.config.get(SEED_FIELD)

    @property
    def environment(self) -> str:
        """The environment's name, `run` if the config does not tell."""
        names = [self.config.get(field) for field in _ENVIRONMENT_FIELDS]
        return next((name for name in names if isinstance(name, str)), "run")

    @property
    def minutes(self) -> float | None:
        """Minutes that the run took, pauses between resumes left out."""
        seconds = self.highest("wall_time")
        return None if seconds is None else seconds / 60

    def highest(self, column: str) -> float | None:
        """Returns the largest number of a column in any log, None without one."""
        values = [log.highest(column) for log in self.logs]
        return max((value for value in values if value is not None), default=None)

    def kind(self, kind: str) -> list[Log]:
        """Returns the logs of all nodes of a kind, such as `actor`."""
        return [log for log in self.logs if log.kind == kind]

    def evaluations(self) -> np.ndarray:
        """Returns the mean returns `[N]` of the evaluations during training, in order."""
        values = [log.columns.get("episode_return", np.zeros(0)) for log in self.kind("evaluator")]
        values = np.concatenate([np.zeros(0), *values])
        return values[np.isfinite(values)]


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs whose configs differ in the seed only, in the order of their seeds."""

    name: str
    runs: tuple[Run, ...]


def load_run(workdir: str | os.PathLike[str]) -> Run:
    """Reads a workdir.

    Raises:
      UserError: the folder is not the workdir of a run.
    """
    workdir = Path(workdir)
    config = dict(flatten(stored_config(workdir)))
    notes: list[str] = []
    logs = tuple(_load_logs(workdir, config, notes))
    evaluation = _load_json(workdir / "evaluation.json", notes)
    command = _load_json(workdir / "command.json", notes)
    failure = _load_json(workdir / "failure.json", notes)
    if evaluation is not None and not _is_number(evaluation.get("mean")):
        notes.append("evaluation.json has no number 'mean'")
        evaluation = None
    if (workdir / "failure.json").exists():
        failure = {} if failure is None else failure
    return Run(
        workdir,
        config,
        logs,
        evaluation,
        command,
        None if failure is None else _failure_text(failure),
        tuple(notes),
    )


def _load_logs(workdir: Path, config: Mapping[str, Any], notes: list[str]) -> Iterator[Log]:
    paths = sorted((workdir / "logs").glob("*.csv"), key=_natural)
    for kind in ("learner", "actor", "evaluator"):
        if not any(_NODE_NUMBER.sub("", path.stem) == kind for path in paths):
            notes.append(f"no {kind} log")
    for path in paths:
        try:
            rows, names, sound = read_rows(path)
        except OSError as error:
            notes.append(f"{path.name} cannot be read: {error.strerror}")
            continue
        if not sound and names:
            notes.append(f"{path.name} has a torn line, left out")
        if not rows:
            notes.append(f"{path.name} is empty")
            continue
        columns = {}
        for name in names:
            columns[name], not_finite = _numbers([row[name] for row in rows])
            if not_finite:
                notes.append(f"{path.name}: {name} is not finite in {not_finite} rows")
        yield Log(path.stem, columns | _rates(path.stem, columns, config))


def _natural(path: Path) -> list[tuple[int, str]]:
    """Orders actor_2 before actor_10."""
    parts = re.split(r"(\d+)", path.stem)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _numbers(texts: Sequence[str]) -> tuple[np.ndarray, int]:
    """Returns the numbers, NaN where there is none, and how many were NaN or infinite."""
    values = np.full(len(texts), np.nan)
    not_finite = 0
    for index, text in enumerate(texts):
        try:
            values[index] = float(text)
        except ValueError:
            continue
        not_finite += not math.isfinite(values[index])
    return np.where(np.isfinite(values), values, np.nan), not_finite


def _rates(
    label: str, columns: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Returns the learner's steps per second and its samples per step of an actor."""
    steps, seconds = columns.get("learner_steps"), columns.get("wall_time")
    if label != "learner" or steps is None or seconds is None:
        return {}
    elapsed = np.diff(seconds, prepend=np.nan)
    elapsed[~(elapsed > 0)] = np.nan
    rates = {"learner_steps_per_second": np.diff(steps, prepend=np.nan) / elapsed}
    inserted, batch_size = columns.get("actor_steps"), config.get(_BATCH_SIZE_FIELD)
    if inserted is not None and _is_number(batch_size):
        rates["samples_per_actor_step"] = (
            steps * batch_size / np.where(inserted > 0, inserted, np.nan)
        )
    return rates


def _load_json(path: Path, notes: list[str]) -> Mapping[str, Any] | None:
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        notes.append(f"{path.name} cannot be read: {error}")
        return None
    if not isinstance(values, dict):
        notes.append(f"{path.name} is not a JSON object")
        return None
    return values


def _failure_text(failure: Mapping[str, Any]) -> str:
    if "error" in failure:
        node = f"{failure['node']}: " if "node" in failure else ""
        return node + " ".join(str(failure["error"]).split())
    return json.dumps(failure) if failure else "failed; failure.json does not say why"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def find_workdirs(root: str | os.PathLike[str]) -> list[Path]:
    """Returns the workdirs in a folder, or the folder itself if it is one, sorted.

    Raises:
      UserError: the folder does not exist, or holds none.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"there is no folder {root}")
    found = []
    for folder, folders, files in os.walk(root):
        if "config.json" in files or "failure.json" in files:
            found.append(Path(folder))
            folders.clear()
    if not found:
        raise UserError(f"{root} holds no runs: no folder in it has a config.json")
    return sorted(found, key=lambda path: [_natural(Path(part)) for part in path.parts])


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Puts runs together whose configs differ in the seed only.

    The name of a group is its environment's, and what sets it apart from the other groups
    in the same environment: the fields, or its first folder where they are many.
    """
    keyed: dict[str, list[Run]] = {}
    for run in runs:
        keyed.setdefault(_without_seed(run.config), []).append(run)
    members = [tuple(sorted(group, key=_by_seed)) for group in keyed.values()]
    groups: list[Group] = []
    for group in members:
        first = group[0]
        rivals = [other[0] for other in members if other[0].environment == first.environment]
        apart = describe_differences(rivals)[rivals.index(first)]
        if len(differing_fields(rivals)) > _MOST_DIFFERENCES:
            apart = first.workdir.name
        name = f"{first.environment}: {apart}" if apart else first.environment
        groups.append(Group(free_name(name, {earlier.name for earlier in groups}), group))
    return groups


def _without_seed(config: Mapping[str, Any]) -> str:
    return json.dumps({k: v for k, v in config.items() if k != SEED_FIELD}, sort_keys=True)


def _by_seed(run: Run) -> tuple[float, str]:
    return (float(run.seed) if _is_number(run.seed) else math.inf, str(run.workdir))


def free_name(name: str, taken: set[str]) -> str:
    """Returns the name, with a number where it is taken."""
    number = 1
    free = name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def differing_fields(runs: Sequence[Run]) -> list[str]:
    """Returns the dotted fields, the seed left out, whose values are not the same in all."""
    fields = {field: None for run in runs for field in run.config}
    return [
        field
        for field in fields
        if field != SEED_FIELD and len({value_text(run.config, field) for run in runs}) > 1
    ]


def describe_differences(runs: Sequence[Run]) -> list[str]:
    """Returns for each run the first few of the differing fields as `field=value`."""
    most = _MOST_DIFFERENCES
    fields = differing_fields(runs)
    leaves = [field.rpartition(".")[2] for field in fields]
    names = [
        leaf if leaves.count(leaf) == 1 else field
        for leaf, field in zip(leaves, fields, strict=True)
    ]
    more = f" and {len(fields) - most} more" if len(fields) > most else ""
    return [
        ", ".join(
            f"{name}={value_text(run.config, field)}"
            for name, field in zip(names[:most], fields, strict=False)
        )
        + more
        for run in runs
    ]


def value_text(config: Mapping[str, Any], field: str) -> str:
    """Returns a field's value as people type it; a field that is not there is `absent`."""
    if field not in config:
        return ABSENT
    value = config[field]
    return value if isinstance(value, str) else json.dumps(value)
