"""Where the time of a loop goes."""

import time
from collections.abc import Callable, Mapping


class Timings:
    """Seconds by part of the work; parts are named by whoever measures, in one thread.

    seconds: by part.
    laps: how often each part was measured.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Starts; `clock` gives seconds."""
        self.seconds: dict[str, float] = {}
        self.laps: dict[str, int] = {}
        self._clock = clock
        self._last = clock()

    def start(self) -> None:
        """What passed until now belongs to nobody."""
        self._last = self._clock()

    def lap(self, part: str, share: float = 1.0) -> None:
        """What passed since the last lap belongs to `part`.

        Args:
          part: of the work.
          share: of that time, in [0, 1]; the rest belongs to the next lap.
        """
        elapsed = share * (self._clock() - self._last)
        self.seconds[part] = self.seconds.get(part, 0.0) + elapsed
        self.laps[part] = self.laps.get(part, 0) + 1
        self._last += elapsed

    def shares(self) -> dict[str, float]:
        """Fraction of the measured time by part."""
        return shares(self.seconds)


def shares(seconds: Mapping[str, float]) -> dict[str, float]:
    """Returns the fraction of the whole by part."""
    total = sum(seconds.values()) or 1.0
    return {part: value / total for part, value in seconds.items()}


def time_columns(parts: Mapping[str, float]) -> dict[str, float]:
    """Returns the shares under the names that they have in logs, such as `time_data`."""
    return {f"time_{part}": share for part, share in parts.items()}
