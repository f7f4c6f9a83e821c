"""Periods of wall time and of agent steps."""

import time


class Timer:
    """Period of wall time; `due` once it has passed since the last `restart`."""

    def __init__(self, seconds: float):
        """Starts the period.

        Args:
          seconds: length of the period.
        """
        self._seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Starts the period again."""
        self._end = time.monotonic() + self._seconds

    @property
    def due(self) -> bool:
        """True once the period has passed."""
        return time.monotonic() >= self._end


def period_reached(period: int, count: int, added: int) -> bool:
    """Returns whether a count reached a multiple of `period` by its last increment.

    Args:
      period: distance of the multiples; 0 for never.
      count: count after the increment.
      added: increment.
    """
    return period > 0 and count // period > (count - added) // period
