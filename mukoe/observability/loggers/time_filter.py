"""Logger that limits the rate of entries."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from mukoe.observability.loggers.base import Logger


class TimeFilter:
    """Forwards at most one entry per interval; the first entry is forwarded at once."""

    def __init__(self, logger: Logger, seconds: float, clock: Callable[[], float] = time.monotonic):
        """Makes a filter.

        Args:
          logger: destination of the forwarded entries.
          seconds: minimum time between two forwarded entries.
          clock: function that returns seconds.
        """
        self._logger = logger
        self._seconds = seconds
        self._clock = clock
        self._last = float("-inf")

    def write(self, data: Mapping[str, Any]) -> None:
        """Forwards the entry if the interval has passed, else drops it."""
        now = self._clock()
        if now - self._last >= self._seconds:
            self._last = now
            self._logger.write(data)

    def close(self) -> None:
        """Closes the wrapped logger."""
        self._logger.close()
