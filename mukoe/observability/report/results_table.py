"""Table of the runs of a group on the results page."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

from mukoe.observability.report.curves import ACTOR_STEPS, MINUTES
from mukoe.observability.report.evidence import Evidence
from mukoe.observability.report.text import number, number_with_interval


@dataclasses.dataclass(frozen=True)
class _Column:
    """Column of the table; it is omitted if no run has a value.

    title: heading.
    cell: function that returns the text of a run's cell, or None without a value.
    """

    title: str
    cell: Callable[[Evidence], str | None]


def runs_table(runs: Sequence[Evidence], threshold: float | None, evidence: str) -> str:
    """Returns a Markdown table with a row for each run.

    Args:
      runs: records of a group.
      threshold: return that counts as solved; None without one.
      evidence: path of the records, relative to the page.
    """
    columns = _columns(threshold, evidence)
    cells = [[column.cell(run) for run in runs] for column in columns]
    kept = [index for index, column in enumerate(cells) if any(cell is not None for cell in column)]
    lines = [markdown_row([columns[index].title for index in kept]), "|" + "---|" * len(kept)]
    for position in range(len(runs)):
        lines.append(markdown_row([cells[index][position] or "–" for index in kept]))
    return "\n".join(lines)


def markdown_row(cells: Sequence[str]) -> str:
    """Returns a row of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _columns(threshold: float | None, evidence: str) -> list[_Column]:
    columns = [
        _Column("run", lambda run: _run(run, evidence)),
        _Column("seed", lambda run: number(run.seed)),
        _Column("agent steps", lambda run: _number_or_none(run.agent_steps)),
        _Column("episodes", lambda run: _number_or_none(run.episodes)),
        _Column("minutes", lambda run: _number_or_none(run.minutes, digits=1)),
        _Column("CPU hours, at most", lambda run: _number_or_none(run.cpu_hours_at_most, digits=2)),
        _Column("last in training", lambda run: _number_or_none(run.last_return)),
        _Column("best in training", lambda run: _number_or_none(run.best_return)),
    ]
    if threshold is not None:
        columns.append(_Column(f"reached {number(threshold)}", _reached))
    columns.append(_Column("final evaluation [95%]", _final))
    settings = ("simulations", "temperature", "opponent", "checkpoint")
    for key in ("std", "median", "iqm", "episodes", *settings):
        title = "evaluation episodes" if key == "episodes" else key
        columns.append(_Column(title, functools.partial(_evaluated, key)))
    columns.append(_Column("wins / draws / losses", _wins))
    return columns


def _run(run: Evidence, evidence: str) -> str:
    return f"[{run.name}]({evidence}/{run.name}){', failed' if run.failure else ''}"


def _number_or_none(value: float | None, digits: int | None = None) -> str | None:
    if value is None:
        return None
    return number(value if digits is None else round(value, digits))


def _reached(run: Evidence) -> str | None:
    if run.reached is None:
        return "not" if run.last_return is not None else None
    axis = run.evaluations.axis
    unit = "steps" if axis == ACTOR_STEPS else "learner steps"
    minutes = number(round(run.reached[MINUTES], 1))
    return f"{number(run.reached[axis])} {unit}, {minutes} minutes"


def _final(run: Evidence) -> str | None:
    return None if run.evaluation is None else number_with_interval(run.evaluation)


def _evaluated(key: str, run: Evidence) -> str | None:
    value = (run.evaluation or {}).get(key)
    return None if value is None else number(value)


def _wins(run: Evidence) -> str | None:
    counts = [(run.evaluation or {}).get(key) for key in ("wins", "draws", "losses")]
    return None if None in counts else " / ".join(number(count) for count in counts)
