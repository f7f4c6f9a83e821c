"""Time shares of the parts of a loop."""

import time
from collections.abc import Callable, Mapping


class Timings:
    """Stopwatch that assigns the time of one thread to named parts of its loop.

    seconds: total seconds by part.
    laps: number of measurements by part.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Starts the stopwatch.

        Args:
          clock: function that returns seconds.
        """
        self.seconds: dict[str, float] = {}
        self.laps: dict[str, int] = {}
        self._clock = clock
        self._last = clock()

    def start(self) -> None:
        """Discards the time since the last lap."""
        self._last = self._clock()

    def lap(self, part: str, share: float = 1.0) -> None:
        """Assigns the time since the last lap to a part.

        Args:
          part: name of the part.
          share: fraction of that time, in [0, 1]; the rest belongs to the next lap.
        """
        elapsed = share * (self._clock() - self._last)
        self.seconds[part] = self.seconds.get(part, 0.0) + elapsed
        self.laps[part] = self.laps.get(part, 0) + 1
        self._last += elapsed

    def shares(self) -> dict[str, float]:
        """Returns the fraction of the measured time by part."""
        return shares(self.seconds)


def shares(seconds: Mapping[str, float]) -> dict[str, float]:
    """Returns the fraction of the total by part."""
    total = sum(seconds.values()) or 1.0
    return {part: value / total for part, value in seconds.items()}


def time_columns(parts: Mapping[str, float]) -> dict[str, float]:
    """Returns the shares under their names in logs, such as `time_data`."""
    return {f"time_{part}": share for part, share in parts.items()}
