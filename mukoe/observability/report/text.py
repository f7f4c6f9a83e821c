"""Numbers as people read them."""

import math
from typing import Any


def number(value: Any) -> str:
    """Returns `12,345`, `0.1235` or, without a number, a dash."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "–" if value is None else str(value)
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() or abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def tick(value: float) -> str:
    """Returns the label of a tick: `250k`, `1.5M`, `0.05`."""
    for divisor, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= divisor:
            return f"{value / divisor:g}{suffix}"
    return f"{value:.6g}"
