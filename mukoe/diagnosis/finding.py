"""Findings of a diagnosis, and their text."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

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
        if with_tables and finding.table:
            lines += [f"  {line}" for line in aligned(finding.table)] + [""]
    return "\n".join(lines)


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Returns the rows of a table with columns of equal width, aligned to the right."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in table]
