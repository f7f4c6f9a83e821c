"""Progress line of a loop with a known number of steps."""

import time

from mukoe.terminal.progress_line import ProgressLine, active_line
from mukoe.terminal.progress_text import Progress

_QUIET_SECONDS = 3.0


class CountedProgress:
    """Progress of a loop with a known number of steps, on the line of this process.

    If the process has no line, one appears after a few seconds, so that short loops print nothing.
    """

    def __init__(self, phase: str, total: int):
        """Starts at 0.

        Args:
          phase: description of the loop.
          total: number of steps.
        """
        self._phase = phase
        self._total = total
        self._done = 0
        self._since = time.monotonic()
        self._line = active_line()
        self._show()

    def add(self, count: int = 1) -> None:
        """Adds finished steps."""
        self._done += count
        if self._line is None and time.monotonic() - self._since > _QUIET_SECONDS:
            self._line = ProgressLine()
        self._show()

    def _show(self) -> None:
        if self._line is not None:
            self._line.update(
                Progress(
                    phase=self._phase,
                    phase_done=self._done,
                    phase_total=self._total,
                    advances=True,
                )
            )

    def __enter__(self) -> "CountedProgress":
        return self

    def __exit__(self, *unused: object) -> None:
        if self._line is not None:
            self._line.close(erase=True)
