"""HTML report of runs: one file without scripts and without external files."""

import json
import re
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from mukoe.observability.report.curves import MINUTES
from mukoe.observability.report.forks import forks_section
from mukoe.observability.report.groups import (
    Group,
    describe_differences,
    differing_fields,
    group_runs,
    value_text,
)
from mukoe.observability.report.html import counted, document, legend, swatch, table
from mukoe.observability.report.plots import AXIS_LABELS, TIME_SHARE, Plots
from mukoe.observability.report.runs import Run
from mukoe.observability.report.text import number, number_with_interval

_MAX_OPEN_ROWS = 16
_SECTIONS: tuple[tuple[str, str, tuple[str, ...], re.Pattern[str]], ...] = (
    ("Losses", "losses", ("learner",), re.compile(r"loss|.*_loss|.*_norm|learning_rate")),
    (
        "Search",
        "search statistics",
        ("actor", "evaluator", "learner"),
        re.compile(r"search_.+|prior_.+|.*entropy|root_value|value_target|value_error"),
    ),
    (
        "Throughput",
        "throughput",
        ("actor", "learner", "inference", "evaluator"),
        re.compile(
            r".*_per_second|samples_per_.+|parameter_age|batch_fill|.*_ms_p\d+|variable_failures"
        ),
    ),
)
"""Title, noun for an empty section, kinds of logs in the order shown, names of columns."""


def make_page(runs: Sequence[Run], smooth: int = 1) -> str:
    """Returns the HTML page.

    Args:
      runs: non-empty sequence of runs.
      smooth: number of rows over which logged numbers are averaged. Evaluations are not averaged.
    """
    groups = group_runs(runs)
    names = legend([group.name for group in groups])
    plots = Plots(groups, smooth)
    title = ", ".join(dict.fromkeys(run.environment for run in runs))
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{counted(len(runs), "run")}, {counted(len(groups), "configuration")}</p>',
        _runs_table(groups),
        _notes(runs),
        "<h2>Learning</h2>",
        names,
        _explanation(groups),
        _learning(plots),
        forks_section(runs),
    ]
    for heading, noun, kinds, columns in _SECTIONS:
        figures = [
            plots.figure(kind, column)
            for kind in kinds
            for column in plots.columns(kind, columns.fullmatch)
        ]
        body += [f"<h2>{heading}</h2>", names, _grid(figures, f"No log has {noun}.")]
        if heading == "Throughput":
            body.append(_node_table(groups))
    others = [plots.figure(kind, column) for kind, column in plots.remaining()]
    if others:
        body += ["<h2>Other</h2>", names, _grid(others, "")]
    body += ["<h2>Configuration</h2>", _differences_table(runs), *map(_config, groups)]
    return document(title, body)


def _learning(plots: Plots) -> str:
    figures = [
        plots.figure(kind, "episode_return", axis, f"{title} <span>over {AXIS_LABELS[axis]}</span>")
        for kind, title in (("evaluator", "Evaluation return"), ("actor", "Return while training"))
        if plots.columns(kind, lambda name: name == "episode_return")
        for axis in (*plots.step_axes(kind, "episode_return"), MINUTES)
    ]
    figures += [
        plots.figure(kind, "episode_length")
        for kind in ("evaluator", "actor")
        if plots.columns(kind, lambda name: name == "episode_length")
    ]
    return _grid(figures, "No log has an episode_return.", large=True)


def _grid(figures: Sequence[str], missing: str, large: bool = False) -> str:
    if not figures:
        return f'<p class="soft">{escape(missing)}</p>'
    return f'<div class="plots{" large" if large else ""}">{"".join(figures)}</div>'


def _explanation(groups: Sequence[Group]) -> str:
    if all(len(group.runs) == 1 for group in groups):
        return ""
    return (
        '<p class="soft">Thick: mean over seeds, where all of them have data. Band: 95% bootstrap '
        "interval of the mean over seeds, or lowest to highest with fewer than four. Thin: each "
        "seed. A run that reached its target return keeps its final value.</p>"
    )


def _runs_table(groups: Sequence[Group]) -> str:
    runs = [run for group in groups for run in group.runs]
    apart = dict(zip(map(id, runs), describe_differences(runs), strict=True))
    columns = ["workdir", "agent", "differences", "seed", "agent steps", "episodes", "minutes"]
    columns += ["last evaluation", "best evaluation", "final evaluation"]
    rows = []
    for colour, group in enumerate(groups):
        for run in group.runs:
            returns = run.evaluations()
            name = f"{swatch(colour)}{escape(str(run.workdir))}"
            if run.failure is not None:
                name += ' <span class="failed">failed</span>'
            rows.append(
                [
                    name,
                    escape(run.agent) or "–",
                    escape(apart[id(run)]) or "–",
                    number(run.seed),
                    number(run.highest("actor_steps")),
                    number(run.highest("episodes")),
                    number(None if run.minutes is None else round(run.minutes, 1)),
                    number(float(returns[-1]) if returns.size else None),
                    number(float(returns.max()) if returns.size else None),
                    _final_evaluation(run),
                ]
            )
    return table(columns, rows, words=("agent", "differences"), names=("workdir",), table_id="runs")


def _final_evaluation(run: Run) -> str:
    """Returns the final evaluation, with the settings that differ from the end of the run."""
    text = escape(number_with_interval(run.evaluation))
    if marks := run.evaluation_marks:
        text += f'<br><span class="marked">{escape("; ".join(marks))}</span>'
    return text


def _notes(runs: Sequence[Run]) -> str:
    entries = []
    for run in runs:
        where = escape(str(run.workdir))
        if run.failure is not None:
            entries.append(f'{where}: <span class="failed">failed</span>: {escape(run.failure)}')
        entries += [f"{where}: {escape(note)}" for note in run.notes]
    if not entries:
        return ""
    items = "".join(f"<li>{entry}</li>" for entry in entries)
    return f'<h3>Missing or broken</h3><ul class="notes">{items}</ul>'


def _node_table(groups: Sequence[Group]) -> str:
    """Returns a table of the nodes with their speed and their shares of time."""
    rows = []
    for colour, group in enumerate(groups):
        for run in group.runs:
            for log in run.logs:
                speed, shares = _mean_speed(log.columns), _time_shares(log.columns)
                if speed is not None or shares:
                    name = f"{swatch(colour)}{escape(str(run.workdir))}"
                    rows.append([name, escape(log.label), number(speed), _bar(shares)])
    if not rows:
        return ""
    columns = ["run", "node", "steps/s", "share of time"]
    words = ("share of time",)
    nodes = table(columns, rows, words, names=("run", "node"), table_id="nodes")
    is_open = " open" if len(rows) <= _MAX_OPEN_ROWS else ""
    return (
        f"<details{is_open}><summary>{counted(len(rows), 'node')}, over the whole run</summary>"
        f"{nodes}</details>"
    )


def _mean_speed(columns: Mapping[str, np.ndarray]) -> float | None:
    """Returns the mean steps per second: as logged for an actor, from counts for the learner."""
    if "steps_per_second" in columns:
        return _mean(columns["steps_per_second"])
    if "learner_steps_per_second" not in columns:
        return None
    steps, seconds = columns["learner_steps"], columns["wall_time"]
    known = np.flatnonzero(np.isfinite(steps) & np.isfinite(seconds))
    if known.size < 2 or not seconds[known[-1]] > seconds[known[0]]:
        return None
    first, last = known[0], known[-1]
    return float((steps[last] - steps[first]) / (seconds[last] - seconds[first]))


def _mean(values: np.ndarray) -> float | None:
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else None


def _time_shares(columns: Mapping[str, np.ndarray]) -> dict[str, float]:
    shares = {
        match[1]: _mean(values)
        for name, values in columns.items()
        if (match := TIME_SHARE.fullmatch(name))
    }
    return {name: share for name, share in shares.items() if share is not None}


def _bar(shares: Mapping[str, float]) -> str:
    if not shares:
        return "–"
    total = max(sum(shares.values()), 1e-9)
    parts = "".join(
        f'<span class="i{index % 4}" style="width:{100 * share / total:.1f}%"></span>'
        for index, share in enumerate(shares.values())
    )
    texts = "".join(
        f'<span class="key i{index % 4}"></span>{escape(name)} {100 * share:.0f}%'
        for index, (name, share) in enumerate(shares.items())
    )
    return f'<div class="shares"><div class="bar">{parts}</div><span>{texts}</span></div>'


def _differences_table(runs: Sequence[Run]) -> str:
    fields = differing_fields(runs)
    if not fields:
        one = "There is one run." if len(runs) == 1 else "The runs differ in the seed only."
        return f'<p class="soft">{one}</p>'
    rows = [
        [
            f"<code>{escape(field)}</code>",
            *(f"<code>{escape(value_text(run.config, field))}</code>" for run in runs),
        ]
        for field in fields
    ]
    columns = ["field", *(str(run.workdir) for run in runs)]
    return table(columns, rows, names=columns, table_id="differences")


def _config(group: Group) -> str:
    run = group.runs[0]
    lines = "\n".join(f"{field} = {json.dumps(value)}" for field, value in run.config.items())
    command = ""
    if run.command is not None:
        command = f"<pre>{escape(json.dumps(run.command, indent=1))}</pre>"
    return (
        f"<details><summary>{escape(group.name)} ({escape(str(run.workdir))})</summary>"
        f"{command}<pre>{escape(lines)}</pre></details>"
    )
