"""Checks of the logs of runs: samples per insert, age of the data, spread of the seeds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mukoe.agents.extensions import replay_of
from mukoe.configuration import load_config
from mukoe.diagnosis.finding import Finding
from mukoe.observability.report.logs import Log
from mukoe.observability.report.runs import Run, load_run
from mukoe.replay.declaration import ReplayDeclaration

_SAMPLES, _SEEDS = "samples per insert are those wanted", "seeds agree"
_TOLERANCE = 0.25
# Updates between the parameters that acted and those that learn, in turnovers of replay.
_STALE = 1.0
_LEAST_SEEDS = 3


def check_samples(run: Run, replay: ReplayDeclaration | None) -> Finding:
    """Compares the samples per item of the actors with `agent.replay.samples_per_insert`.

    Args:
      run: contents of the workdir.
      replay: replay of the agent; None for one that learns from rollouts.
    """
    if replay is None:
        return Finding(_SAMPLES, "unknown", "the agent has no replay")
    batch, wanted = replay.batch_size - replay.demonstrated_items, replay.samples_per_insert
    curve = replay.period * _samples_per_step(run.kind("learner"), batch)
    if not curve.size:
        return Finding(_SAMPLES, "unknown", "the logs hold no two rows after the first update")
    ratio, age = float(curve[-1]), run.highest("parameter_age")
    text = f"{ratio:.3g} samples per insert"
    table = [["quantity", "value"], ["samples per insert", f"{ratio:.4g}"]]
    if age is not None:
        table.append(["oldest parameters of an actor, in updates", f"{age:.4g}"])
    if wanted is None:
        text += ", without agent.replay.samples_per_insert"
        return Finding(_SAMPLES, "unknown", text, table, curve.tolist())
    table.append(["agent.replay.samples_per_insert", f"{wanted:.4g}"])
    text += f", agent.replay.samples_per_insert={wanted:g}"
    if abs(ratio / wanted - 1.0) > _TOLERANCE:
        side = "learner" if ratio < wanted else "actors"
        text += f": the {side} cannot keep up; see mukoe advise"
        return Finding(_SAMPLES, "fault", text, table, curve.tolist())
    turnover = replay.capacity * ratio / batch
    if age is not None and turnover and age > _STALE * turnover:
        text += (
            f": actors use parameters of up to {age:.0f} updates before, longer than replay lasts "
            f"({turnover:.0f} updates); lower distributed.variable_seconds"
        )
        return Finding(_SAMPLES, "fault", text, table, curve.tolist())
    return Finding(_SAMPLES, "ok", text, table, curve.tolist())


def _samples_per_step(logs: Sequence[Log], batch: int) -> np.ndarray:
    """Returns the samples per agent step from the first row to each later one."""
    for log in logs:
        steps, updates = log.columns.get("actor_steps"), log.columns.get("learner_steps")
        if steps is None or updates is None:
            continue
        known = np.isfinite(steps) & np.isfinite(updates) & (updates > 0)
        steps, updates = steps[known], updates[known]
        later = steps > steps[0] if steps.size else np.zeros(0, bool)
        return batch * (updates[later] - updates[0]) / (steps[later] - steps[0])
    return np.zeros(0)


def seed_workdirs(folder: Path) -> list[Path]:
    """Returns the workdirs of a run with --seeds, in the order of the seeds; empty for others."""
    found = [path for path in folder.glob("seed_*") if (path / "config.json").exists()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("seed_")))


def check_seeds(workdirs: Sequence[Path]) -> tuple[Finding, Path]:
    """Compares the last evaluations of several seeds.

    A seed has failed if it ends nearer to the worst first evaluation of all seeds than to the
    best last one.

    Args:
      workdirs: workdirs of the seeds.

    Returns:
      The finding, and the workdir of the seed with the lowest last evaluation.
    """
    evaluations = {path: load_run(path).evaluations() for path in workdirs}
    found = {path: values for path, values in evaluations.items() if values.size}
    if len(found) < _LEAST_SEEDS:
        text = f"{len(found)} seeds have an evaluation; at least {_LEAST_SEEDS} are compared"
        return Finding(_SEEDS, "unknown", text), workdirs[0]
    last = {path: float(np.mean(values[-3:])) for path, values in found.items()}
    start, best = min(float(values[0]) for values in found.values()), max(last.values())
    failed = [path.name for path in found if last[path] < (start + best) / 2]
    worst = min(last, key=lambda path: last[path])
    table = [["seed", "first evaluation", "last evaluations"]]
    table += [
        [path.name.removeprefix("seed_"), f"{values[0]:.4g}", f"{last[path]:.4g}"]
        for path, values in found.items()
    ]
    middle, low, high = (np.quantile(list(last.values()), q) for q in (0.5, 0.25, 0.75))
    text = f"last evaluations: median {middle:.4g}, quartiles {low:.4g} and {high:.4g}"
    curve = sorted(last.values())
    if best <= start:
        return Finding(_SEEDS, "fault", f"{text}: no seed has learned", table, curve), worst
    if failed:
        text += f": {len(failed)} of {len(found)} seeds have failed ({', '.join(failed)})"
        return Finding(_SEEDS, "fault", text, table, curve), worst
    return Finding(_SEEDS, "ok", text, table, curve), worst


def check_logs(workdir: Path) -> tuple[list[Finding], Path]:
    """Checks the logs of a run, or of the seeds of a run with --seeds.

    Returns:
      The findings, and the workdir whose parameters are checked: that of the worst seed.
    """
    findings, seeds = [], seed_workdirs(workdir)
    if seeds:
        finding, workdir = check_seeds(seeds)
        findings.append(finding)
    builder = load_config(workdir).agent.make_builder()
    return [*findings, check_samples(load_run(workdir), replay_of(builder))], workdir
