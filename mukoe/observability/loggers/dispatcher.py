"""Logger that forwards to several loggers."""

from collections.abc import Mapping, Sequence
from typing import Any

from mukoe.observability.loggers.base import Logger


class Dispatcher:
    """Writes each entry to several loggers."""

    def __init__(self, loggers: Sequence[Logger]):
        self._loggers = tuple(loggers)

    def write(self, data: Mapping[str, Any]) -> None:
        """Writes the entry to every logger."""
        for logger in self._loggers:
            logger.write(data)

    def close(self) -> None:
        """Closes every logger."""
        for logger in self._loggers:
            logger.close()
