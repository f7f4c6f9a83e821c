"""HTML page of a sweep: importances, parallel coordinates, table of the trials."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from mukoe.observability.report.html import counted, document, table
from mukoe.observability.report.text import number
from mukoe.sweeps.config import Choice, Domain, SweepConfig, extremes

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_WIDTH, _HEIGHT, _MARGIN = 900, 300, 40
# Smallest width of an axis with its labels.
_AXIS_EMS = 10


def make_sweep_page(
    trials: Sequence["FrozenTrial"], importances: Mapping[str, float], sweep: SweepConfig
) -> str:
    """Returns the page.

    Args:
      trials: trials that have been started.
      importances: share of each field in the variation of the objective.
      sweep: settings of the sweep.
    """
    finished = [trial for trial in trials if trial.state.name == "COMPLETE"]
    body = [
        f"<h1>Sweep of {escape(sweep.config)}</h1>",
        f'<p class="soft">{counted(len(trials), "trial")}, {len(finished)} finished. Objective: '
        "mean evaluation return over the budget of a trial.</p>",
        "<h2>Importance</h2>",
        _importances(importances),
        "<h2>Values and objective</h2>",
        _parallel_coordinates(finished, sweep.space),
        "<h2>Trials</h2>",
        _trials(trials, sweep.space),
    ]
    return document("Sweep", body)


def _importances(importances: Mapping[str, float]) -> str:
    if not importances:
        return '<p class="soft">Too few trials have finished.</p>'
    rows = [
        [
            f"<code>{escape(name)}</code>",
            f'<div class="bar"><span style="width:{100 * share:.0f}%"></span></div>',
            f"{share:.0%}",
        ]
        for name, share in importances.items()
    ]
    return table(
        ["field", "share", "of the variation"], rows, ("share",), ("field",), "importances"
    )


def _trials(trials: Sequence["FrozenTrial"], space: Mapping[str, Domain]) -> str:
    ordered = sorted(trials, key=lambda trial: -_objective(trial))
    rows = [
        [
            str(trial.number),
            trial.state.name.lower(),
            number(trial.value if trial.state.name == "COMPLETE" else None),
            *(escape(_text(trial.params.get(name))) for name in space),
        ]
        for trial in ordered
    ]
    return table(["trial", "state", "objective", *space], rows, (), (), "trials")


def _objective(trial: "FrozenTrial") -> float:
    is_complete = trial.state.name == "COMPLETE" and trial.value is not None
    return float(trial.value or 0.0) if is_complete else -math.inf


def _text(value: Any) -> str:
    return number(value) if isinstance(value, int | float) else str(value)


def _parallel_coordinates(trials: Sequence["FrozenTrial"], space: Mapping[str, Domain]) -> str:
    """Returns a line for each trial over one axis per field and one for the objective."""
    if not trials:
        return '<p class="soft">No trial has finished.</p>'
    objectives = [_objective(trial) for trial in trials]
    low, high = min(objectives), max(objectives)
    step = (_WIDTH - 2 * _MARGIN) / len(space)
    # On a narrow screen it scrolls, so that the labels stay readable.
    parts = [
        f'<div class="scroll"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="values by trial" style="min-width:{_AXIS_EMS * (len(space) + 1)}em">'
    ]
    for index, (name, domain) in enumerate(space.items()):
        ends = extremes(domain)
        parts += _axis(_MARGIN + index * step, name, _text(ends[0]), _text(ends[-1]))
    parts += _axis(_MARGIN + len(space) * step, "objective", number(low), number(high))
    for trial, value in sorted(zip(trials, objectives, strict=True), key=lambda pair: pair[1]):
        share = (value - low) / (high - low) if high > low else 1.0
        heights = [_place(domain, trial.params[name]) for name, domain in space.items()] + [share]
        points = " ".join(
            f"{'L' if index else 'M'}{_MARGIN + index * step:.1f} {_y(height):.1f}"
            for index, height in enumerate(heights)
        )
        parts.append(
            f'<path class="c0" d="{points}" style="opacity:{0.35 + 0.65 * share:.2f}">'
            f"<title>trial {trial.number}: {number(value)}</title></path>"
        )
    return "".join([*parts, "</svg></div>"])


def _axis(x: float, name: str, low: str, high: str) -> list[str]:
    label = escape(name.rpartition(".")[2])
    return [
        f'<line class="grid" x1="{x:.1f}" y1="{_y(0)}" x2="{x:.1f}" y2="{_y(1)}"/>',
        f'<text x="{x:.1f}" y="{_y(0) + 16}" text-anchor="middle">{escape(low)}</text>',
        f'<text x="{x:.1f}" y="{_y(1) - 6}" text-anchor="middle">{escape(high)}</text>',
        f'<text x="{x:.1f}" y="{_y(0) + 32}" text-anchor="middle">{label}</text>',
    ]


def _y(height: float) -> float:
    return _HEIGHT - _MARGIN - height * (_HEIGHT - 2 * _MARGIN)


def _place(domain: Domain, value: Any) -> float:
    """Returns the position of a value on the axis of its domain, in [0, 1]."""
    if isinstance(domain, Choice):
        return domain.values.index(value) / max(len(domain.values) - 1, 1)
    low, high = float(domain.low), float(domain.high)
    if domain.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)
