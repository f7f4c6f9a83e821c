"""Between which numbers a field of a configuration lies."""

import math
import threading
from typing import Any, NamedTuple

from mukoe.errors import UserError

LARGEST_COUNT = 2**31 - 1
"""What is counted on a device, in int32, counts no further; updates are."""

LARGEST_SEED = 2**32 - 1
"""A key of JAX is made of 32 bits."""

LARGEST_WHOLE = 2**63 - 1
"""No array holds a whole number beyond."""

LARGEST_NUMBER = (2.0 - 2.0**-23) * 2.0**127
"""The largest float32."""

LONGEST_WAIT = threading.TIMEOUT_MAX
"""Seconds; nothing can be waited for any longer."""

LONGEST_SIDE = 2**15 - 1
"""Pixels of a picture; OpenCV holds places in int16."""

MOST_COMPILED = 1_000
"""What is compiled once more for each of its parts, such as a layer, takes minutes with these."""


def check_numbers(
    config: Any,
    *fields: str,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    group: str = "",
) -> None:
    """Raises a UserError that names the first field whose number is not within the bounds.

    Without a bound, a whole number lies within 64 bits, and every other one is finite. None is
    no number, and of a tuple each item is one.

    Args:
      config: a dataclass.
      fields: of it.
      at_least: lower bound.
      above: lower bound, itself excluded.
      at_most: upper bound.
      below: upper bound, itself excluded.
      group: stands before the names of the fields, such as `search.`.
    """
    bounds = _Bounds(at_least, above, at_most, below)
    for field in fields:
        value = getattr(config, field)
        for number in value if isinstance(value, tuple) else (value,):
            if number is None:
                continue
            if not is_representable(number):
                raise UserError(f"{group}{field} must be {_LIMITS[type(number)]}, not {number}")
            if bounds.below(number) or bounds.above(number):
                raise UserError(f"{group}{field} must {bounds.in_words(number)}, not {number}")


def is_representable(number: int | float) -> bool:
    """Whether a whole number has at most 64 bits, and any other is finite as a float32."""
    if isinstance(number, int):
        return -LARGEST_WHOLE - 1 <= number <= LARGEST_WHOLE
    return math.isfinite(number) and abs(number) <= LARGEST_NUMBER


_LIMITS = {int: "a whole number of at most 64 bits", float: "a finite number"}


class _Bounds(NamedTuple):
    """Lower and upper bound, each included or excluded; at most one of either."""

    at_least: float | None
    greater_than: float | None
    at_most: float | None
    less_than: float | None

    def below(self, number: float) -> bool:
        """Whether a number is too low."""
        return (self.at_least is not None and number < self.at_least) or (
            self.greater_than is not None and number <= self.greater_than
        )

    def above(self, number: float) -> bool:
        """Whether a number is too high."""
        return (self.at_most is not None and number > self.at_most) or (
            self.less_than is not None and number >= self.less_than
        )

    def in_words(self, number: float) -> str:
        """What is right, for somebody who gave `number`."""
        upper = self.at_most if self.less_than is None else self.less_than
        # Who is below the lowest number is not to hear of a limit of the machine.
        if upper is None or (self.below(number) and upper >= LARGEST_COUNT - 1):
            if self.greater_than is not None:
                return "be positive" if self.greater_than == 0 else f"be above {self.greater_than}"
            return "not be negative" if self.at_least == 0 else f"be at least {self.at_least}"
        if self.at_least is not None and self.at_most is not None:
            return f"be from {self.at_least} to {_in_digits(self.at_most)}"
        lower = "at least" if self.greater_than is None else "above"
        bound = self.at_least if self.greater_than is None else self.greater_than
        end = "at most" if self.less_than is None else "below"
        return f"be {lower} {bound} and {end} {_in_digits(upper)}"


def _in_digits(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"
