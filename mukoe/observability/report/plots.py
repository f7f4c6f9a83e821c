"""Plots of logged quantities: mean over seeds with a band, and each seed."""

import re
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from mukoe.observability.report import svg
from mukoe.observability.report.curves import (
    ACTOR_STEPS,
    LEARNER_STEPS,
    MINUTES,
    Curve,
    carry,
    curve_of,
    is_wide,
    over_seeds,
    thin,
)
from mukoe.observability.report.groups import Group
from mukoe.observability.report.html import words
from mukoe.observability.report.runs import Run
from mukoe.observability.report.text import number

AXIS_LABELS = {ACTOR_STEPS: "agent steps", LEARNER_STEPS: "learner steps", MINUTES: "minutes"}
TIME_SHARE = re.compile(r"time_(.+)")

_COUNTS = (
    *("environment_frames", "actor_steps", "episodes", "learner_steps", "wall_time"),
    *("acting_seconds", "learning_seconds"),
)


class Plots:
    """Draws columns of the logs of all groups, and records which columns are drawn."""

    def __init__(self, groups: Sequence[Group], smooth: int):
        """Makes the plots.

        Args:
          groups: groups of runs, in the order of their colours.
          smooth: number of rows over which logged numbers are averaged; evaluations are not.
        """
        self._groups = groups
        self._smooth = smooth
        self._drawn: set[tuple[str, str]] = set()

    def columns(self, kind: str, wanted: Callable[[str], object]) -> list[str]:
        """Returns the columns of the logs of a kind that hold a number, in the order of the files.

        Args:
          kind: kind of node, such as `actor`.
          wanted: filter of column names.
        """
        names = {
            column: None
            for group in self._groups
            for run in group.runs
            for log in run.kind(kind)
            for column in log.columns
            if log.highest(column) is not None
        }
        return [name for name in names if wanted(name)]

    def remaining(self) -> list[tuple[str, str]]:
        """Returns kinds and columns that are not drawn yet."""
        kinds = {log.kind: None for group in self._groups for run in group.runs for log in run.logs}
        return [
            (kind, column)
            for kind in kinds
            for column in self.columns(kind, lambda name: name not in _COUNTS)
            if (kind, column) not in self._drawn and not TIME_SHARE.fullmatch(column)
        ]

    def figure(self, kind: str, column: str, axis: str | None = None, caption: str = "") -> str:
        """Returns a `<figure>` of one quantity.

        Args:
          kind: kind of node, such as `actor`.
          column: name of the quantity in the logs.
          axis: horizontal axis; None for the one that shows the most runs, agent steps first.
          caption: caption as HTML; empty for column and kind.
        """
        self._drawn.add((kind, column))
        axis = axis or self._axis(kind, column)
        smooth = 1 if kind == "evaluator" else self._smooth
        curves = [
            [(run, curve_of(run, kind, column, axis, smooth)) for run in group.runs]
            for group in self._groups
        ]
        logarithmic = is_wide([curve for found in curves for _, curve in found])
        if (kind, column) == ("evaluator", "episode_return"):
            curves = [_carry_solved(group, curves) for group in curves]
        lines = [
            line
            for colour, (group, found) in enumerate(zip(self._groups, curves, strict=True))
            for line in seed_lines(
                group.name,
                [(seed_label(run.seed, run.workdir.name), curve) for run, curve in found],
                colour,
                logarithmic,
            )
        ]
        name = caption or f"{words(column)} <span>({escape(kind)})</span>"
        if not lines:
            return f'<figure><figcaption>{name}</figcaption><p class="soft">No data.</p></figure>'
        description = f"{words(column)} of {kind} over {AXIS_LABELS[axis]}"
        plot = svg.line_plot(
            lines, AXIS_LABELS[axis], description, hover=True, logarithmic=logarithmic
        )
        return f"<figure><figcaption>{name}</figcaption>{plot}</figure>"

    def step_axes(self, kind: str, column: str) -> list[str]:
        """Returns the axes of steps over which every run is shown that has steps at all.

        Learner steps alone or beside agent steps, if actors are missing in some runs.
        """
        shown: set[Path] = set()
        axes = []
        for axis in (ACTOR_STEPS, LEARNER_STEPS):
            if found := self._runs_over(kind, column, axis) - shown:
                axes.append(axis)
                shown |= found
        return axes

    def _axis(self, kind: str, column: str) -> str:
        """Returns the first of the axes that show the most runs."""
        return max(AXIS_LABELS, key=lambda axis: len(self._runs_over(kind, column, axis)))

    def _runs_over(self, kind: str, column: str, axis: str) -> set[Path]:
        return {
            run.workdir
            for group in self._groups
            for run in group.runs
            if curve_of(run, kind, column, axis).x.size
        }


def _carry_solved(
    curves: Sequence[tuple[Run, Curve]], groups: Sequence[Sequence[tuple[Run, Curve]]]
) -> list[tuple[Run, Curve]]:
    """Returns the curves of a group; those of solved runs keep their final value.

    Args:
      curves: runs and curves of the group.
      groups: runs and curves of all groups of the figure.
    """
    last = max((c.x[-1] for group in groups for _, c in group if len(c.x)), default=0.0)
    return [(run, carry(curve, last) if run.is_solved else curve) for run, curve in curves]


def seed_lines(
    name: str, curves: Sequence[tuple[str, Curve]], colour: int, logarithmic: bool = False
) -> list[svg.Line]:
    """Returns the mean over seeds with a band, and a faint line for each seed.

    Without a mean (a single seed, or seeds without a common range) the seeds are drawn as full
    lines.

    Args:
      name: name of the group.
      curves: label and curve of each seed; empty curves are left out.
      colour: index into the palette.
      logarithmic: True for a logarithmic horizontal axis.
    """
    curves = [(label, curve) for label, curve in curves if len(curve.x)]
    band = over_seeds([curve for _, curve in curves], logarithmic=logarithmic)
    lines = []
    for label, curve in curves:
        curve = thin(curve)
        lines.append(svg.Line(curve.x, curve.y, colour, f"{name}, {label}", faint=band is not None))
    if band is not None:
        label = f"{name}, mean of {len(curves)} seeds ({band.interval})"
        lines.append(svg.Line(band.x, band.mean, colour, label, low=band.low, high=band.high))
    return lines


def seed_label(seed: object, name: str) -> str:
    """Returns the label of a run in a plot."""
    return f"seed {number(seed)} ({name})"
