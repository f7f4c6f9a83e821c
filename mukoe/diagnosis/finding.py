"""Findings of a diagnosis, and their text."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

# Characters of a picture, and its bars from low to high.
_WIDTH = 60
_BARS = "▁▂▃▄▅▆▇█"

Verdict = Literal["ok", "fault", "unknown"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """Result of one check.

    check: name of the check.
    verdict: 'ok', 'fault', or 'unknown' where the data cannot tell.
    text: one sentence with the measurement, and the remedy of a fault.
    table: rows of text below it, the first one the header; empty for none.
    curve: numbers of a picture, such as the losses of all updates; empty for none.
    """

    check: str
    verdict: Verdict
    text: str
    table: Sequence[Sequence[str]] = ()
    curve: Sequence[float] = ()


def to_text(findings: Sequence[Finding], with_tables: bool = True) -> str:
    """Returns the findings as lines, each table below its finding."""
    width = max(len(finding.check) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.verdict:<8} {finding.check:<{width}}  {finding.text}")
        if with_tables and len(finding.curve):
            lines.append(f"  {picture(finding.curve)}")
        if with_tables and finding.table:
            lines += [f"  {line}" for line in aligned(finding.table)] + [""]
    return "\n".join(lines)


def picture(curve: Sequence[float]) -> str:
    """Returns a curve as one line of bars, from its lowest to its highest finite number."""
    values = np.asarray(curve, np.float64)
    parts = np.array_split(values, min(len(values), _WIDTH))
    heights = np.array([part[-1] for part in parts])
    finite = heights[np.isfinite(heights)]
    if not finite.size:
        return ""
    low, high = float(finite.min()), float(finite.max())
    levels = (heights - low) / ((high - low) or 1.0) * (len(_BARS) - 1)
    bars = "".join(_BARS[round(level)] if np.isfinite(level) else "?" for level in levels)
    return f"{heights[0]:.3g} {bars} {heights[-1]:.3g}"


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Returns the rows of a table with columns of equal width, aligned to the right."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in table]
