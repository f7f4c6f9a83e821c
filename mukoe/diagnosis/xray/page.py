"""Page and JSON file of an X-ray."""

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from mukoe.diagnosis.finding import Finding
from mukoe.diagnosis.xray.results import Estimate, Figure, Section, Table
from mukoe.observability.report.html import counted, document, legend, table
from mukoe.observability.report.svg import Line, line_plot
from mukoe.observability.report.text import number


def make_page(
    title: str, subtitle: str, findings: Sequence[Finding], sections: Sequence[Section]
) -> str:
    """Returns the HTML page, without external files."""
    body = [f"<h1>{escape(title)}</h1>", f'<p class="soft">{escape(subtitle)}</p>']
    if findings:
        faults = sum(finding.verdict == "fault" for finding in findings)
        body += [f"<h2>Verdicts: {counted(faults, 'fault')}</h2>", _verdicts(findings)]
    for section in sections:
        body += [f"<h2>{escape(section.heading)}</h2>", f"<p>{escape(section.text)}</p>"]
        if section.figures:
            plots = "".join(_figure(figure) for figure in section.figures)
            body.append(f'<div class="plots">{plots}</div>')
        body += [_table(part) for part in section.tables]
    return document(title, body)


def _verdicts(findings: Sequence[Finding]) -> str:
    rows = [
        [
            f'<span class="failed">{f.verdict}</span>' if f.verdict == "fault" else f.verdict,
            escape(f.check),
            escape(f.text),
        ]
        for f in findings
    ]
    columns = ["verdict", "check", "measurement"]
    return table(columns, rows, columns, (), "verdicts")


def _figure(figure: Figure) -> str:
    lines = []
    for colour, series in enumerate(figure.series):
        x = np.asarray(series.x, float)
        y, low, high = (np.array(part) for part in list(zip(*series.y, strict=True))[:3])
        lines.append(Line(x, y, colour, series.name, low=low, high=high))
    plot = line_plot(
        lines,
        figure.x_label,
        figure.title,
        threshold=figure.threshold,
        hover=True,
        logarithmic=figure.logarithmic,
    )
    note = ""
    if figure.threshold is not None:
        note = f" <span>dotted: {escape(figure.threshold_name)}</span>"
    names = legend([series.name for series in figure.series])
    caption = f"<figcaption>{escape(figure.title)}{note}</figcaption>"
    return f'<figure id="{figure.name}">{caption}{names}{plot}</figure>'


def _table(part: Table) -> str:
    rows = [[escape(_cell(cell)) for cell in row] for row in part.rows]
    words = [
        column
        for index, column in enumerate(part.columns)
        if all(isinstance(row[index], str) for row in part.rows)
    ]
    return table(part.columns, rows, words, (), part.name)


def _cell(cell: str | float | Estimate) -> str:
    return (
        cell if isinstance(cell, str) else str(cell) if isinstance(cell, Estimate) else number(cell)
    )


def to_json(
    about: Mapping[str, Any], findings: Sequence[Finding], sections: Sequence[Section]
) -> str:
    """Returns the numbers of the page as JSON; estimates are objects with their interval."""
    content = {
        **about,
        "verdicts": [{"check": f.check, "verdict": f.verdict, "text": f.text} for f in findings],
        "sections": {section.name: _section(section) for section in sections},
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _section(section: Section) -> dict[str, Any]:
    figures = {
        figure.name: {
            "title": figure.title,
            "x_label": figure.x_label,
            "threshold": _value(figure.threshold),
            "series": {
                series.name: {
                    "x": [float(x) for x in series.x],
                    "y": [_value(y) for y in series.y],
                }
                for series in figure.series
            },
        }
        for figure in section.figures
    }
    tables = {
        part.name: [
            {name: _value(cell) for name, cell in zip(part.columns, row, strict=True)}
            for row in part.rows
        ]
        for part in section.tables
    }
    return {"text": section.text, "figures": figures, "tables": tables}


def _value(value: Any) -> Any:
    if isinstance(value, Estimate):
        return {name: _value(part) for name, part in value._asdict().items()}
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
