"""Main numbers of several checkpoints of a run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mukoe.diagnosis.xray.calibration import correlation
from mukoe.diagnosis.xray.config import XrayConfig
from mukoe.diagnosis.xray.decisions import differs
from mukoe.diagnosis.xray.results import (
    Estimate,
    Figure,
    Section,
    Series,
    estimate,
    estimate_of_groups,
)
from mukoe.diagnosis.xray.returns import play
from mukoe.diagnosis.xray.trajectories import LEAST_STEPS, Recorder
from mukoe.diagnosis.xray.variants import with_search
from mukoe.layouts.common.stored_run import StoredRun, open_run
from mukoe.learning.checkpoint import Checkpointer
from mukoe.zoo import is_entry

_HEADING = "Over training"


def checkpoint_steps(workdir: Path, most: int) -> list[int]:
    """Returns the learner steps of at most so many checkpoints, the first and the last included."""
    if is_entry(workdir):
        return []
    steps = sorted(Checkpointer(workdir / "checkpoints").steps())
    return [steps[i] for i in np.unique(np.linspace(0, len(steps) - 1, most).astype(int))]


def measure_training(run: StoredRun, config: XrayConfig, stop: Callable[[], bool]) -> Section:
    """Measures the main numbers of the stored checkpoints."""
    steps = checkpoint_steps(run.workdir, config.checkpoints)
    if len(steps) < 2:
        return Section("training", _HEADING, "The run has one checkpoint.")
    measured: list[tuple[int, dict[str, Estimate]]] = []
    policies = {
        "with search": run.make_policy(),
        "without search": with_search(run, num_simulations=0).make_policy(),
    }
    for step in steps:
        other = open_run(run.workdir, step=step)
        returns = {
            name: None if stop() else play(other, config, stop, policy)
            for name, policy in policies.items()
        }
        values = {name: r.values for name, r in returns.items() if r is not None}
        if len(values) < 2 or stop():
            break
        found = {name: estimate(each) for name, each in values.items()}
        measured.append((step, found | _search_numbers(other, config, stop)))
    if not measured:
        return Section("training", _HEADING, "The budget ended before the first checkpoint.")
    text = f"{len(measured)} of {len(steps)} checkpoints; episodes with equal seeds."
    titles = {
        "return": ("Return", ("with search", "without search")),
        "changes": ("Share of decisions that the search changes", ("changes",)),
        "correlation": ("Correlation of value and return", ("correlation",)),
    }
    figures = [
        Figure(name, title, "learner steps", [_series(measured, line) for line in lines])
        for name, (title, lines) in titles.items()
    ]
    return Section("training", _HEADING, text, figures)


def _search_numbers(
    run: StoredRun, config: XrayConfig, stop: Callable[[], bool]
) -> dict[str, Estimate]:
    own = Recorder(run).record(config, 4 * LEAST_STEPS, False, stop)
    steps, discount = own.acted, run.config.agent.discount
    changes = estimate_of_groups(differs(own)[steps], own.streams[steps])
    value = correlation(own.search["root_value"][steps], own.returns(discount)[steps])
    return {"changes": changes, "correlation": Estimate(value, value, value, int(steps.sum()))}


def _series(measured: list[tuple[int, dict[str, Estimate]]], name: str) -> Series:
    return Series(
        name, [float(step) for step, _ in measured], [found[name] for _, found in measured]
    )
