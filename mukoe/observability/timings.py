"""Time shares of the parts of a loop."""

import time
from collections.abc import Callable, Mapping


class Timings:
    """Stopwatch that assigns the time of one thread to named parts of its loop.

    seconds: total seconds by part.
    cpu_seconds: seconds of CPU time of the whole process by part.
    laps: number of measurements by part.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        """Starts the stopwatch.

        Args:
          clock: function that returns seconds.
          cpu_clock: function that returns seconds of CPU time.
        """
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}
        self.laps: dict[str, int] = {}
        self._clock, self._cpu_clock = clock, cpu_clock
        self._last, self._last_cpu = clock(), cpu_clock()

    def start(self) -> None:
        """Discards the time since the last lap."""
        self._last, self._last_cpu = self._clock(), self._cpu_clock()

    def clear(self) -> None:
        """Forgets all measurements."""
        self.seconds.clear()
        self.cpu_seconds.clear()
        self.laps.clear()

    def lap(self, part: str, share: float = 1.0) -> None:
        """Assigns the time since the last lap to a part.

        Args:
          part: name of the part.
          share: fraction of that time, in [0, 1]; the rest belongs to the next lap.
        """
        elapsed = share * (self._clock() - self._last)
        computed = share * (self._cpu_clock() - self._last_cpu)
        self.seconds[part] = self.seconds.get(part, 0.0) + elapsed
        self.cpu_seconds[part] = self.cpu_seconds.get(part, 0.0) + computed
        self.laps[part] = self.laps.get(part, 0) + 1
        self._last += elapsed
        self._last_cpu += computed

    @property
    def total(self) -> float:
        """Seconds of all parts."""
        return sum(self.seconds.values())

    def shares(self) -> dict[str, float]:
        """Returns the fraction of the measured time by part."""
        return shares(self.seconds)

    def cpu_share(self, part: str) -> float | None:
        """Returns CPU seconds per second of a part, at most 1; None if it was not measured."""
        seconds = self.seconds.get(part, 0.0)
        if not seconds or part not in self.cpu_seconds:
            return None
        return min(1.0, self.cpu_seconds[part] / seconds)


def shares(seconds: Mapping[str, float]) -> dict[str, float]:
    """Returns the fraction of the total by part."""
    total = sum(seconds.values()) or 1.0
    return {part: value / total for part, value in seconds.items()}


def time_columns(parts: Mapping[str, float]) -> dict[str, float]:
    """Returns the shares under their names in logs, such as `time_data`."""
    return {f"time_{part}": share for part, share in parts.items()}
