"""Files of a workdir, read such that missing or torn files are not fatal."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mukoe.configuration.workdir import FORK_FILE, flatten, stored_config
from mukoe.errors import UserError
from mukoe.observability.clipped_targets import clipping_notes
from mukoe.observability.report.logs import Log, is_number, load_logs, natural_key

SEED_FIELD = "run.seed"

AGENT_FIELD = "agent.class"

_ENVIRONMENT_FIELDS = tuple(f"environment.{name}" for name in ("game", "env", "task", "name", "id"))


class Origin(NamedTuple):
    """Checkpoint that a fork continues from.

    workdir: workdir of the run.
    actor_steps: agent steps at the checkpoint.
    """

    workdir: Path
    actor_steps: int


@dataclasses.dataclass(frozen=True)
class Run:
    """Contents of one workdir.

    workdir: path as given.
    config: dotted field to value.
    logs: logs in the order of their labels.
    evaluation: evaluation.json, as `mukoe evaluate` writes it; None without it.
    command: `argv`, `python`, `versions` and `cpus`, from command.json; None without it.
    failure: error that ended the run, from failure.json; None if it did not fail.
    origin: checkpoint of another run that it continues from, from fork.json; None if it began anew.
    notes: remarks on missing and damaged files.
    """

    workdir: Path
    config: Mapping[str, Any]
    logs: tuple[Log, ...]
    evaluation: Mapping[str, Any] | None = None
    command: Mapping[str, Any] | None = None
    failure: str | None = None
    origin: Origin | None = None
    notes: tuple[str, ...] = ()

    @property
    def seed(self) -> Any:
        """Seed of the run, None if the config has none."""
        return self.config.get(SEED_FIELD)

    @property
    def environment(self) -> str:
        """Name of the environment, or of its config class; `run` if the config has neither."""
        names = [self.config.get(field) for field in _ENVIRONMENT_FIELDS]
        class_name = _short_class_name(self.config.get("environment.class", ""))
        return next((name for name in names if isinstance(name, str)), class_name or "run")

    @property
    def agent(self) -> str:
        """Name of the agent, such as `MuZero`; empty if its config class is not known."""
        return _short_class_name(self.config.get(AGENT_FIELD, ""))

    @property
    def is_solved(self) -> bool:
        """True if the last evaluation reached the target return, which ends a run."""
        target, returns = self.config.get("run.target_return"), self.evaluations()
        if not isinstance(target, int | float) or not returns.size:
            return False
        return bool(returns[-1] >= target)

    @property
    def evaluation_marks(self) -> list[str]:
        """Settings of evaluation.json that are not those of the end of the run."""
        found, marks = self.evaluation or {}, []
        step, last = found.get("checkpoint"), self.highest("learner_steps")
        if isinstance(step, int | float) and last is not None and step < last:
            marks.append(f"learner step {step:.0f} of {last:.0f}")
        opponent, usual = found.get("opponent"), self.config.get("environment.opponent")
        if opponent is not None and usual is not None and opponent != usual:
            marks.append(f"against {opponent} instead of {usual}")
        simulations = found.get("simulations")
        usual = self.config.get("agent.search.num_simulations")
        if simulations is not None and usual is not None and simulations != usual:
            marks.append(f"{simulations} simulations instead of {usual}")
        temperature = found.get("temperature") or 0
        usual = self.config.get("agent.search.evaluation_temperature") or 0
        if temperature != usual:
            marks.append(f"temperature {temperature:g} instead of {usual:g}")
        return marks

    @property
    def minutes(self) -> float | None:
        """Minutes of the run, without pauses between resumes."""
        seconds = self.highest("wall_time")
        return None if seconds is None else seconds / 60

    def highest(self, column: str) -> float | None:
        """Returns the largest number of a column in any log, None if there is none."""
        return _highest(self.logs, column)

    def kind(self, kind: str) -> list[Log]:
        """Returns the logs of all nodes of a kind, such as `actor`."""
        return [log for log in self.logs if log.kind == kind]

    def evaluations(self) -> np.ndarray:
        """Returns the mean returns `[N]` of the evaluations in training, in order."""
        values = [log.columns.get("episode_return", np.zeros(0)) for log in self.kind("evaluator")]
        values = np.concatenate([np.zeros(0), *values])
        return values[np.isfinite(values)]


def _short_class_name(path: Any) -> str:
    """Returns `MuZero` for the class `module:MuZeroConfig`; empty without one."""
    return str(path).rpartition(":")[2].removesuffix("Config")


def _highest(logs: Sequence[Log], column: str) -> float | None:
    values = [log.highest(column) for log in logs]
    return max((value for value in values if value is not None), default=None)


def load_run(workdir: str | os.PathLike[str]) -> Run:
    """Reads a workdir.

    Raises:
      UserError: the folder is not the workdir of a run.
    """
    workdir = Path(workdir)
    config = dict(flatten(stored_config(workdir)))
    notes: list[str] = []
    logs = tuple(load_logs(workdir, config, notes))
    evaluation = _load_json(workdir / "evaluation.json", notes)
    command = _load_json(workdir / "command.json", notes)
    failure = _load_json(workdir / "failure.json", notes)
    fork = _load_json(workdir / FORK_FILE, notes)
    if evaluation is not None and not is_number(evaluation.get("mean")):
        notes.append("evaluation.json has no number 'mean'")
        evaluation = None
    if (workdir / "failure.json").exists():
        failure = {} if failure is None else failure
    notes += clipping_notes(lambda name: _highest(logs, name))
    return Run(
        workdir,
        config,
        logs,
        evaluation,
        command,
        None if failure is None else _failure_text(failure),
        None if fork is None else _origin(fork, notes),
        tuple(notes),
    )


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


def _origin(fork: Mapping[str, Any], notes: list[str]) -> Origin | None:
    workdir, steps = fork.get("origin"), fork.get("actor_steps")
    if isinstance(workdir, str) and isinstance(steps, int):
        return Origin(Path(workdir), steps)
    notes.append("fork.json has no text 'origin' and number 'actor_steps'")
    return None


def _failure_text(failure: Mapping[str, Any]) -> str:
    if "error" in failure:
        node = f"{failure['node']}: " if "node" in failure else ""
        return node + " ".join(str(failure["error"]).split())
    return json.dumps(failure) if failure else "failed; failure.json has no error"


def find_workdirs(root: str | os.PathLike[str]) -> list[Path]:
    """Returns the workdirs in a folder, or the folder itself if it is one, sorted.

    Raises:
      UserError: the folder does not exist, or holds no workdir.
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
    return sorted(found, key=lambda path: [natural_key(Path(part).stem) for part in path.parts])
