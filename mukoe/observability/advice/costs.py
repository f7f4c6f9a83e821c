"""Costs of a run: seconds per agent step by part of the work, from the logs of its nodes."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mukoe.configuration.workdir import stored_launch
from mukoe.errors import UserError
from mukoe.observability.report.logs import Log
from mukoe.observability.report.runs import Run
from mukoe.observability.timings import shares

EVALUATION = "evaluation"
REST = "rest"
# Share of the time that a side waits for the other one, above which it does not bound a run.
_WAITS = 0.1


@dataclasses.dataclass(frozen=True)
class Costs:
    """Wall seconds per agent step, or per update of a run without actors.

    layout: layout of the run.
    parallel: True if acting and learning take place at the same time.
    actors: number of actor nodes or threads.
    seconds: seconds of the whole run.
    acting: seconds by part of acting. Parts of parallel actors are divided by their number.
    learning: seconds by part of learning.
    evaluation: seconds of evaluations for which the run waits.
    environment_cpu: fraction of the environment's time in which the process computes.
    """

    layout: str
    parallel: bool
    actors: int
    seconds: float
    acting: Mapping[str, float]
    learning: Mapping[str, float]
    evaluation: float = 0.0
    environment_cpu: float = 1.0

    @property
    def parts(self) -> dict[tuple[str, str], float]:
        """Seconds by side (`acting`, `learning`, `run`) and part; serial parts sum to `seconds`."""
        parts = {("acting", name): value for name, value in self.acting.items()}
        parts |= {("learning", name): value for name, value in self.learning.items()}
        if not self.parallel:
            parts["run", EVALUATION] = self.evaluation
            parts["run", REST] = max(0.0, self.seconds - sum(parts.values()))
        return parts

    @property
    def environment_wait(self) -> float:
        """Seconds in which environments wait and nothing is computed."""
        return self.acting.get("environment", 0.0) * (1.0 - self.environment_cpu)

    def bound(self) -> tuple[str, str]:
        """Returns the side and the part that take the most time of those that bound the run."""
        parts = self.parts
        rest = parts.pop(("run", REST), 0.0)
        if rest > self.seconds / 2:
            return ("run", REST)
        if self.parallel:
            acts = sum(self.acting.values()) >= sum(self.learning.values())
            parts = {key: v for key, v in parts.items() if (key[0] == "acting") == acts}
        return max(parts, key=lambda key: parts[key])

    def share(self, side: str) -> float:
        """Returns the fraction of the time that a side takes."""
        return sum(v for key, v in self.parts.items() if key[0] == side) / self.seconds

    def predict(self, factors: Mapping[tuple[str, str], float]) -> float:
        """Returns the seconds after parts have been multiplied by factors.

        Amdahl's law: other parts stay as they are. Of acting and learning in parallel, the longer
        one counts.

        Args:
          factors: factor by side and part.
        """
        changed = {key: v * factors.get(key, 1.0) for key, v in self.parts.items()}
        if not self.parallel:
            return self.seconds - sum(self.parts.values()) + sum(changed.values())
        sides = [
            sum(v for key, v in changed.items() if key[0] == side)
            for side in ("acting", "learning")
        ]
        return max(sides)


@dataclasses.dataclass(frozen=True)
class _Window:
    """Rows of one log between which a process learned.

    wall, steps, busy: differences of seconds, counted steps, and measured seconds.
    shares: fractions of the measured time by part.
    """

    wall: float
    steps: float
    busy: float
    shares: Mapping[str, float]


def measure_costs(run: Run) -> Costs:
    """Returns the costs of a run.

    Raises:
      UserError: the logs hold fewer than two rows after the start of learning, or no time between
        them.
    """
    layout, offline = _layout(run.workdir), not run.kind("actor")
    unit = "learner_steps" if offline else "actor_steps"
    actors = _windows(run.kind("actor"), "acting_seconds", unit)
    learners = _windows(run.kind("learner"), "learning_seconds", unit)
    if not (learners if offline else actors):
        raise UserError(
            f"the logs of {run.workdir} hold fewer than two rows after the first update: train "
            "longer, or lower run.log_period (layout local) or run.log_seconds"
        )
    windows = learners if offline else actors
    seconds = float(np.mean([w.wall / w.steps for w in windows]))
    parallel = layout == "distributed" or (
        layout == "sebulba" and run.config.get("sebulba.staleness") != 0
    )
    threads = _sebulba_threads(run.config) if layout == "sebulba" else 1
    acting = {name: v / threads for name, v in _mean_parts(actors).items()}
    costs = Costs(
        layout=layout,
        parallel=parallel and not offline,
        actors=threads if layout == "sebulba" else max(1, len(actors)),
        seconds=seconds,
        acting=acting,
        learning=_mean_parts(learners),
        evaluation=0.0 if parallel else _evaluation_seconds(run, unit),
        environment_cpu=_environment_cpu(run.kind("actor")),
    )
    return _without_waits(costs, run.config) if costs.parallel else costs


def _without_waits(costs: Costs, config: Mapping) -> Costs:
    """Removes waits of acting and learning for each other; a side without them takes all time."""
    acting, learning = dict(costs.acting), dict(costs.learning)
    # Actors of a program wait for replay while they record; those of Sebulba for parameters.
    blocked = acting.pop("recording" if costs.layout == "distributed" else "waiting", 0.0)
    starved = sum(learning.pop(name, 0.0) for name in ("data", "waiting"))
    coupled = config.get("agent.replay.samples_per_insert", 1.0) is not None
    if not coupled:  # The learner never holds actors up.
        return dataclasses.replace(costs, acting=_scaled(acting, costs.seconds), learning={})
    if blocked / costs.seconds > max(_WAITS, starved / costs.seconds) and learning:
        learning = _scaled(learning, costs.seconds)
    else:
        acting = _scaled(acting, costs.seconds)
    return dataclasses.replace(costs, acting=acting, learning=learning)


def _scaled(parts: Mapping[str, float], total: float) -> dict[str, float]:
    return {name: share * total for name, share in shares(parts).items()}


def _layout(workdir: Path) -> str:
    return str(stored_launch(workdir).get("layout") or "local")


def _sebulba_threads(config: Mapping) -> int:
    devices = config.get("sebulba.actor_devices", (0,))
    count = len(devices) if isinstance(devices, Sequence) else 1
    return max(1, count * int(config.get("sebulba.threads_per_device", 1)))


def _windows(logs: Sequence[Log], seconds: str, unit: str) -> list[_Window]:
    windows = []
    for log in logs:
        rows = _learning_rows(log, seconds, unit)
        if len(rows) < 2:
            continue
        first, last = rows[0], rows[-1]
        wall, steps, busy = (
            float(log.columns[name][last] - log.columns[name][first])
            for name in ("wall_time", unit, seconds)
        )
        names = [name for name in log.columns if name.startswith("time_")]
        parts = {name.removeprefix("time_"): float(log.columns[name][last]) for name in names}
        sound = {name: share for name, share in parts.items() if np.isfinite(share)}
        if wall > 0 and steps > 0 and busy > 0:
            windows.append(_Window(wall, steps, busy, shares(sound)))
    return windows


def _learning_rows(log: Log, seconds: str, unit: str) -> np.ndarray:
    """Returns the rows of the last process that come after its first update."""
    needed = ("wall_time", unit, seconds)
    if any(name not in log.columns for name in needed):
        return np.zeros(0, int)
    finite = np.all([np.isfinite(log.columns[name]) for name in needed], axis=0)
    learned = log.columns.get("learner_steps", np.ones(len(finite)))
    rows = np.flatnonzero(finite & ((learned > 0) | ~np.any(learned > 0)))
    restarts = np.flatnonzero(np.diff(log.columns[seconds][rows]) < 0)
    return rows[restarts[-1] + 1 :] if restarts.size else rows


def _mean_parts(windows: Sequence[_Window]) -> dict[str, float]:
    names = dict.fromkeys(name for window in windows for name in window.shares)
    return {
        name: float(np.mean([w.busy / w.steps * w.shares.get(name, 0.0) for w in windows]))
        for name in names
    }


def _evaluation_seconds(run: Run, unit: str) -> float:
    """Returns the seconds of evaluations per step, after the first one, which compiles."""
    for log in run.kind("evaluator"):
        seconds = log.columns.get("evaluation_seconds", np.zeros(0))
        steps = log.columns.get(unit, np.zeros(0))
        if seconds.size > 1 and steps[-1] > steps[0]:
            return float(np.nansum(seconds[1:]) / (steps[-1] - steps[0]))
    return 0.0


def _environment_cpu(logs: Sequence[Log]) -> float:
    found = [log.columns.get("environment_cpu", np.zeros(0)) for log in logs]
    last = [values[np.isfinite(values)][-1] for values in found if np.isfinite(values).any()]
    return float(np.mean(last)) if last else 1.0
