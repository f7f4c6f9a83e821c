"""One HTML page about runs, which needs nothing else: no network, no script."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

import numpy as np

from mukoe.observability.report import statistics, svg
from mukoe.observability.report.runs import (
    Group,
    Run,
    describe_differences,
    differing_fields,
    group_runs,
    value_text,
)
from mukoe.observability.report.statistics import ACTOR_STEPS, MINUTES
from mukoe.observability.report.text import number

_COUNTS = ("environment_frames", "actor_steps", "episodes", "learner_steps", "wall_time")
_AXIS_LABELS = {ACTOR_STEPS: "agent steps", MINUTES: "minutes", "learner_steps": "learner steps"}
_MOST_OPEN_ROWS = 16
_SHARE = re.compile(r"time_(.+)")
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
"""Title, what is missing without it, kinds of logs in the order shown, names of columns."""

_CSS = """
*{box-sizing:border-box}
body{margin:0 auto;max-width:1320px;padding:24px clamp(12px,3vw,32px) 64px;color:var(--ink);
background:var(--ground);font:15px/1.5 system-ui,sans-serif;color-scheme:light dark}
h1{font-size:22px;margin:0 0 4px}
h2{font-size:17px;margin:40px 0 8px;padding-bottom:4px;border-bottom:1px solid var(--rule)}
h3{font-size:14px;margin:24px 0 4px}
p{margin:6px 0;max-width:75ch}
.soft{color:var(--soft)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:5px 18px 5px 0;border-bottom:1px solid var(--rule);
vertical-align:top}
th{color:var(--soft);font-weight:500;white-space:nowrap}
td.number,th.number{text-align:right;white-space:nowrap}
td.words{min-width:14em;max-width:40em}
td.name{overflow-wrap:anywhere;min-width:15em}
.plots{display:grid;gap:20px 24px;
grid-template-columns:repeat(auto-fill,minmax(min(100%,350px),1fr))}
.plots.large{grid-template-columns:repeat(auto-fill,minmax(min(100%,480px),1fr))}
@media(min-width:1060px){.large svg text{font-size:8px}.large svg path{stroke-width:1.3}
.large svg path.faint{stroke-width:.7}}
figure{margin:0}
figcaption{font-size:13px;font-weight:600}
figcaption span{font-weight:400;color:var(--soft)}
svg{display:block;width:100%;height:auto}
.legend{display:flex;flex-wrap:wrap;gap:2px 20px;font-size:13px;margin:8px 0 12px}
.swatch{display:inline-block;width:14px;height:0;border-top:3px solid;margin-right:7px;
vertical-align:middle}
.swatch.dashed{border-top-style:dashed}
.shares{display:flex;flex-wrap:wrap;gap:0 12px;align-items:center}
.bar{display:flex;width:140px;height:10px;border-radius:2px;overflow:hidden}
.bar span{display:block;height:100%}
.bar span,.key{background:var(--ink);opacity:.75}
.key{display:inline-block;width:9px;height:9px;margin:0 3px 0 8px}
.shares .i1{opacity:.45}.shares .i2{opacity:.25}.shares .i3{opacity:.12}
.failed{color:var(--c6);font-weight:600}
ul.notes{margin:6px 0;padding-left:20px;font-size:13px;color:var(--soft)}
details{margin:14px 0}
summary{cursor:pointer;font-size:13px;font-weight:600}
code,pre{font:12px/1.5 ui-monospace,monospace;overflow-wrap:anywhere}
pre{white-space:pre-wrap;margin:6px 0}
"""


def make_page(runs: Sequence[Run], smooth: int = 1) -> str:
    """Returns the HTML page.

    Args:
      runs: at least one.
      smooth: rows over which logged numbers are averaged; 1 shows them as they are.
        Evaluations are not averaged.
    """
    groups = group_runs(runs)
    plots = _Plots(groups, smooth)
    title = ", ".join(dict.fromkeys(run.environment for run in runs))
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{_count(len(runs), "run")} of {_count(len(groups), "configuration")}</p>',
        _runs_table(groups),
        _notes(runs),
        "<h2>Learning</h2>",
        _legend(groups),
        _explanation(groups),
        _learning(plots),
    ]
    for heading, what, kinds, columns in _SECTIONS:
        figures = [
            plots.figure(kind, column)
            for kind in kinds
            for column in plots.columns(kind, columns.fullmatch)
        ]
        body += [f"<h2>{heading}</h2>", _legend(groups), _grid(figures, f"No log has {what}.")]
        if heading == "Throughput":
            body.append(_node_table(groups))
    others = [plots.figure(kind, column) for kind, column in plots.left()]
    if others:
        body += ["<h2>Everything else</h2>", _legend(groups), _grid(others, "")]
    body += ["<h2>Configuration</h2>", _differences_table(runs), *map(_config, groups)]
    return _document(title, body)


def _document(title: str, body: Iterable[str]) -> str:
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{svg.style()}{_CSS}</style></head><body>",
            *(part for part in body if part),
            "</body></html>\n",
        ]
    )


class _Plots:
    """Draws columns of the logs of all groups, and remembers which it has drawn."""

    def __init__(self, groups: Sequence[Group], smooth: int):
        self._groups = groups
        self._smooth = smooth
        self._drawn: set[tuple[str, str]] = set()

    def columns(self, kind: str, wanted: Callable[[str], object]) -> list[str]:
        """Returns the columns, with any number, of the logs of a kind, in the files' order."""
        names = {
            column: None
            for group in self._groups
            for run in group.runs
            for log in run.kind(kind)
            for column in log.columns
            if log.highest(column) is not None
        }
        return [name for name in names if wanted(name)]

    def left(self) -> list[tuple[str, str]]:
        """Returns kinds and columns that no plot shows yet."""
        kinds = {log.kind: None for group in self._groups for run in group.runs for log in run.logs}
        return [
            (kind, column)
            for kind in kinds
            for column in self.columns(kind, lambda name: name not in _COUNTS)
            if (kind, column) not in self._drawn and not _SHARE.fullmatch(column)
        ]

    def figure(self, kind: str, column: str, axis: str | None = None, caption: str = "") -> str:
        """Returns a `<figure>`; the horizontal axis is the first that the logs have."""
        self._drawn.add((kind, column))
        axis = axis or self._axis(kind)
        smooth = 1 if kind == "evaluator" else self._smooth
        lines = [
            line
            for colour, group in enumerate(self._groups)
            for line in group_lines(group, colour, kind, column, axis, smooth)
        ]
        name = caption or f"{_words(column)} <span>({escape(kind)})</span>"
        if not lines:
            return f'<figure><figcaption>{name}</figcaption><p class="soft">No data.</p></figure>'
        description = f"{_words(column)} of {kind} over {_AXIS_LABELS[axis]}"
        plot = svg.line_plot(lines, _AXIS_LABELS[axis], description)
        return f"<figure><figcaption>{name}</figcaption>{plot}</figure>"

    def _axis(self, kind: str) -> str:
        axes = (ACTOR_STEPS, MINUTES, "learner_steps")
        columns = self.columns(kind, lambda _: True)
        names = {MINUTES: "wall_time"}
        return next((axis for axis in axes if names.get(axis, axis) in columns), ACTOR_STEPS)


def group_lines(
    group: Group, colour: int, kind: str, column: str, axis: str, smooth: int = 1
) -> list[svg.Line]:
    """Returns the lines of a group: the mean over its seeds with a band, and each seed.

    Without a mean (a single seed, or seeds that share no part of the axis) the seeds are
    drawn as full lines.
    """
    curves = [(run, statistics.curve_of(run, kind, column, axis, smooth)) for run in group.runs]
    curves = [(run, curve) for run, curve in curves if len(curve.x)]
    band = statistics.over_seeds([curve for _, curve in curves])
    lines = []
    for run, curve in curves:
        curve = statistics.thin(curve)
        label = f"{group.name}, seed {number(run.seed)} ({run.workdir.name})"
        lines.append(svg.Line(curve.x, curve.y, colour, label, faint=band is not None))
    if band is not None:
        label = f"{group.name}, mean of {len(curves)} seeds ({band.interval})"
        lines.append(svg.Line(band.x, band.mean, colour, label, low=band.low, high=band.high))
    return lines


def _learning(plots: _Plots) -> str:
    figures = [
        plots.figure(kind, "episode_return", axis, f"{who} <span>over {_AXIS_LABELS[axis]}</span>")
        for kind, who in (("evaluator", "Evaluation return"), ("actor", "Return while training"))
        if plots.columns(kind, lambda name: name == "episode_return")
        for axis in (ACTOR_STEPS, MINUTES)
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
        "seed.</p>"
    )


def _legend(groups: Sequence[Group]) -> str:
    if len(groups) < 2:
        return ""
    entries = [
        f"<span>{_swatch(colour)}{escape(group.name)}</span>" for colour, group in enumerate(groups)
    ]
    return f'<div class="legend">{"".join(entries)}</div>'


def _swatch(colour: int) -> str:
    dashed = " dashed" if colour >= svg.NUM_COLOURS else ""
    index = colour % svg.NUM_COLOURS
    return f'<span class="swatch{dashed}" style="border-color:var(--c{index})"></span>'


def _runs_table(groups: Sequence[Group]) -> str:
    runs = [run for group in groups for run in group.runs]
    apart = dict(zip(map(id, runs), describe_differences(runs), strict=True))
    columns = ["workdir", "what differs", "seed", "agent steps", "episodes", "minutes"]
    columns += ["last evaluation", "best evaluation", "final evaluation"]
    rows = []
    for colour, group in enumerate(groups):
        for run in group.runs:
            returns = run.evaluations()
            name = f"{_swatch(colour)}{escape(str(run.workdir))}"
            if run.failure is not None:
                name += ' <span class="failed">failed</span>'
            rows.append(
                [
                    name,
                    escape(apart[id(run)]) or "–",
                    number(run.seed),
                    number(run.highest("actor_steps")),
                    number(run.highest("episodes")),
                    number(None if run.minutes is None else round(run.minutes, 1)),
                    number(float(returns[-1]) if returns.size else None),
                    number(float(returns.max()) if returns.size else None),
                    escape(final_evaluation(run.evaluation)),
                ]
            )
    return _table(columns, rows, words=("what differs",), names=("workdir",), table_id="runs")


def final_evaluation(evaluation: Mapping[str, object] | None) -> str:
    """Returns the mean of evaluation.json with its interval; a dash without it."""
    if evaluation is None:
        return "–"
    text = number(evaluation["mean"])
    interval = evaluation.get("ci95")
    if isinstance(interval, list) and len(interval) == 2:
        text += f" [{number(interval[0])}, {number(interval[1])}]"
    return text


def _table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    words: Sequence[str] = (),
    names: Sequence[str] = (),
    table_id: str = "",
) -> str:
    """Returns a table of HTML cells; columns that are neither words nor names hold numbers."""
    looks = [
        "words" if column in words else "name" if column in names else "number"
        for column in columns
    ]
    head = "".join(
        f'<th class="{look}">{escape(column)}</th>'
        for look, column in zip(looks, columns, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{look}">{cell}</td>' for look, cell in zip(looks, row, strict=True))
        + "</tr>"
        for row in rows
    )
    identity = f' id="{table_id}"' if table_id else ""
    return (
        f'<div class="scroll"><table{identity}><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


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
    """Returns a table of the nodes: their speed, and where their time went."""
    rows = []
    for colour, group in enumerate(groups):
        for run in group.runs:
            for log in run.logs:
                speed, shares = _mean_speed(log.columns), _time_shares(log.columns)
                if speed is not None or shares:
                    name = f"{_swatch(colour)}{escape(str(run.workdir))}"
                    rows.append([name, escape(log.label), number(speed), _bar(shares)])
    if not rows:
        return ""
    columns = ["run", "node", "steps/s", "where its time goes"]
    words = ("where its time goes",)
    table = _table(columns, rows, words, names=("run", "node"), table_id="nodes")
    is_open = " open" if len(rows) <= _MOST_OPEN_ROWS else ""
    return (
        f"<details{is_open}><summary>{_count(len(rows), 'node')}, over the whole run</summary>"
        f"{table}</details>"
    )


def _mean_speed(columns: Mapping[str, np.ndarray]) -> float | None:
    """Returns the steps per second over a log: an actor's as logged, the learner's by counts."""
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
        if (match := _SHARE.fullmatch(name))
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
    return _table(columns, rows, names=columns, table_id="differences")


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


def _words(column: str) -> str:
    return escape(column.replace("_", " "))


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
