"""Estimate of the remaining time of a run."""

import collections

_WINDOW = 300.0
_SPACING = 1.0
_SHORTEST = 10.0
# Length of the window after which speeds that differ, as with long evaluations, are averaged.
_LONG_ENOUGH = 60.0
_TOLERANCE = 0.25


class RemainingTime:
    """Estimates the remaining seconds from the speed of the last five minutes.

    The first estimate waits until it is stable: the speeds of the older and of the newer half of
    the window differ by at most 25 %, or the window has a minute.
    """

    def __init__(self) -> None:
        """Starts without samples."""
        self._samples: collections.deque[tuple[float, float]] = collections.deque()
        self._stable = False

    def reset(self) -> None:
        """Discards all samples, as when work of another kind begins."""
        self._samples.clear()
        self._stable = False

    def add(self, now: float, fraction: float) -> None:
        """Adds a sample.

        Args:
          now: time in seconds.
          fraction: finished fraction of the run, in [0, 1].
        """
        if self._samples and now - self._samples[-1][0] < _SPACING:
            return
        self._samples.append((now, fraction))
        while self._samples[-1][0] - self._samples[0][0] > _WINDOW:
            self._samples.popleft()

    def seconds(self) -> float | None:
        """Returns the estimate; None before it is stable."""
        if len(self._samples) < 2:
            return None
        (begin, first), (end, last) = self._samples[0], self._samples[-1]
        if end - begin < _SHORTEST or last <= first:
            return None
        self._stable = self._stable or end - begin >= _LONG_ENOUGH or self._is_steady()
        return max(0.0, 1.0 - last) * (end - begin) / (last - first) if self._stable else None

    def _is_steady(self) -> bool:
        (begin, first), (end, last) = self._samples[0], self._samples[-1]
        middle, half = min(self._samples, key=lambda s: abs(s[0] - (begin + end) / 2))
        if not begin < middle < end:
            return False
        older, newer = (half - first) / (middle - begin), (last - half) / (end - middle)
        return abs(newer - older) <= _TOLERANCE * max(newer, older)
