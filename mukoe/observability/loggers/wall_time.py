"""Logger that adds the wall-clock time of the run."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mukoe.observability.loggers.base import Logger
from mukoe.observability.loggers.csv_logger import read_rows

_WALL_TIME = "wall_time"


class WallTime:
    """Adds `wall_time`, the seconds of the run, without pauses between resumes."""

    def __init__(
        self, logger: Logger, offset: float = 0.0, clock: Callable[[], float] = time.monotonic
    ):
        """Starts the clock.

        Args:
          logger: destination of the entries.
          offset: seconds of the run before this process.
          clock: function that returns seconds.
        """
        self._logger = logger
        self._clock = clock
        self._start = clock() - offset

    def write(self, data: Mapping[str, Any]) -> None:
        """Forwards the entry with its `wall_time`."""
        self._logger.write({**data, _WALL_TIME: round(self._clock() - self._start, 3)})

    def close(self) -> None:
        """Closes the wrapped logger."""
        self._logger.close()


def elapsed_wall_time(logs: Path) -> float:
    """Returns the latest `wall_time` in the CSV files of a run, 0 if there is none.

    Args:
      logs: folder of the CSV files.
    """
    times = [0.0]
    for path in logs.glob("*.csv"):
        try:
            rows, _, _ = read_rows(path)
            times.append(float(rows[-1][_WALL_TIME]))
        except (OSError, ValueError, KeyError, IndexError):
            continue
    return max(times)
