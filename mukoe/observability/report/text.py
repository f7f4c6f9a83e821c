"""Numbers as text."""

import math
from collections.abc import Mapping
from typing import Any


def number(value: Any) -> str:
    """Returns a number such as `12,345` or `0.1235`, a dash for None, other values as text."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "–" if value is None else str(value)
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def tick(value: float) -> str:
    """Returns the label of a tick, such as `250k`, `1.5M` or `0.05`."""
    for divisor, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= divisor:
            return f"{value / divisor:g}{suffix}"
    return f"{value:.6g}"


def number_with_interval(evaluation: Mapping[str, Any] | None) -> str:
    """Returns the mean of evaluation.json with its interval, a dash without evaluation."""
    if evaluation is None:
        return "–"
    text = number(evaluation["mean"])
    interval = evaluation.get("ci95")
    if isinstance(interval, list) and len(interval) == 2:
        text += f" [{number(interval[0])}, {number(interval[1])}]"
    return text
