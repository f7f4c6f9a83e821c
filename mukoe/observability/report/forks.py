"""Section on forks: their family tree, and their differences from the runs that they fork.

A fork and its origin have the same parameters, data and random numbers up to the fork, so that
their difference varies less than that of two runs with different seeds.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mukoe.observability.report.curves import ACTOR_STEPS, Curve, curve_of, seed_interval
from mukoe.observability.report.groups import describe_differences
from mukoe.observability.report.html import counted, table
from mukoe.observability.report.runs import Run
from mukoe.observability.report.text import number


class Pair(NamedTuple):
    """A fork and the run that it is compared with.

    fork: run that was forked.
    other: its origin, or another fork of the same checkpoint.
    change: fields of the fork whose values differ.
    differences: `[N]` evaluation returns of the fork after the checkpoint, minus those of the other
        at the same steps.
    """

    fork: Run
    other: Run
    change: str
    differences: np.ndarray


def forks_section(runs: Sequence[Run]) -> str:
    """Returns the section; empty without a fork."""
    if not any(run.origin for run in runs):
        return ""
    pairs = find_pairs(runs)
    rows = [
        [
            escape(str(pair.fork.workdir)),
            escape(str(pair.other.workdir)),
            escape(pair.change) or "–",
            *_difference_cells(pair.differences, "evaluation"),
        ]
        for pair in pairs
    ]
    for change in dict.fromkeys(pair.change for pair in pairs):
        means = np.array([pair.differences.mean() for pair in pairs if pair.change == change])
        if len(means) > 1:
            rows.append(["all", "–", escape(change) or "–", *_difference_cells(means, "pair")])
    columns = ["fork", "against", "change", "difference of the return", "interval", "over"]
    differences = table(columns, rows, ("change",), ("fork", "against"), "forks") if rows else ""
    return (
        f"<h2>Forks</h2>{_tree(runs)}{differences}"
        '<p class="soft">Mean difference of the evaluation returns after the fork. Interval: 95% '
        "bootstrap, or lowest to highest with fewer than four. The evaluations of one pair are not "
        "independent; an interval over pairs is one over runs.</p>"
    )


def find_pairs(runs: Sequence[Run]) -> list[Pair]:
    """Returns the pairs of forks with their origins, where both have evaluations after the fork.

    Where the origin ended at the fork, the first fork of the same checkpoint takes its place.
    """
    pairs = []
    for index, fork in enumerate(runs):
        if fork.origin is None:
            continue
        origins = [run for run in runs if run.workdir.resolve() == fork.origin.workdir]
        siblings = [run for run in runs[:index] if run.origin == fork.origin]
        for other in origins + siblings:
            differences = _differences(fork, other, fork.origin.actor_steps)
            if differences.size:
                change = describe_differences([fork, other])[0]
                pairs.append(Pair(fork, other, change, differences))
                break
    return pairs


def _differences(fork: Run, other: Run, actor_steps: int) -> np.ndarray:
    ours, theirs = (_evaluations_after(run, actor_steps) for run in (fork, other))
    if not len(theirs.x):
        return np.zeros(0)
    shared = ours.x <= theirs.x[-1]
    return ours.y[shared] - np.interp(ours.x[shared], theirs.x, theirs.y)


def _evaluations_after(run: Run, actor_steps: int) -> Curve:
    curve = curve_of(run, "evaluator", "episode_return", ACTOR_STEPS)
    later = curve.x > actor_steps
    return Curve(curve.x[later], curve.y[later])


def _difference_cells(differences: np.ndarray, noun: str) -> list[str]:
    (low,), (high,), _ = seed_interval(differences[:, None])
    return [
        number(float(differences.mean())),
        f"[{number(float(low))}, {number(float(high))}]",
        counted(len(differences), noun),
    ]


def _tree(runs: Sequence[Run]) -> str:
    """Returns nested lists of the runs, each fork below its origin."""
    origins = dict.fromkeys(run.origin.workdir for run in runs if run.origin)
    known = {run.workdir.resolve(): run for run in runs}
    items = []
    for workdir in origins:
        run = known.get(workdir)
        if run is None:
            items.append(f"<li>{escape(str(workdir))}{_children(runs, workdir)}</li>")
        elif run.origin is None:
            items.append(_item(runs, run))
    return f"<ul>{''.join(items)}</ul>"


def _item(runs: Sequence[Run], run: Run) -> str:
    at = f" from {number(run.origin.actor_steps)} steps" if run.origin else ""
    return f"<li>{escape(str(run.workdir))}{at}{_children(runs, run.workdir.resolve())}</li>"


def _children(runs: Sequence[Run], workdir: Path) -> str:
    forks = [_item(runs, run) for run in runs if run.origin and run.origin.workdir == workdir]
    return f"<ul>{''.join(forks)}</ul>" if forks else ""
