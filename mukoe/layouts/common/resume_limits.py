"""Repetition of actions that restores environments: progress, time limit, interruption."""

import time
from collections.abc import Callable

from mukoe.layouts.common.cadence import Timer
from mukoe.terminal.progress_line import active_line
from mukoe.terminal.progress_text import Progress

_PROGRESS_SECONDS = 0.2


class ResumeLimitError(Exception):
    """Error at the time limit of a repetition, with a message for the user."""


class InterruptedResumeError(Exception):
    """Error of a resumption that was stopped; the workdir is unchanged."""


class ResumeLimits:
    """Observer of the calls that are repeated in environments, for `RecordedVector.restore`."""

    def __init__(
        self, seconds: float | None = None, should_stop: Callable[[], bool] = lambda: False
    ):
        """Starts with the first call.

        Args:
          seconds: time limit of all repetitions of a run; None for no limit.
          should_stop: called before every call; True interrupts the resumption.
        """
        self._seconds = seconds
        self._should_stop = should_stop
        self._begun: float | None = None
        self._redraw = Timer(0.0)

    def __call__(self, done: int, total: int) -> None:
        """Shows the progress before a call.

        Args:
          done: number of repeated calls.
          total: number of calls to repeat.

        Raises:
          ResumeLimitError: the time limit is reached.
          InterruptedResumeError: the process has to stop.
        """
        now = time.monotonic()
        self._begun = now if self._begun is None else self._begun
        if self._should_stop():
            raise InterruptedResumeError
        if self._seconds is not None and now - self._begun > self._seconds:
            raise ResumeLimitError(
                f"{done} of {total} steps of the environments were repeated within "
                f"run.resume_seconds={self._seconds:g}"
            )
        line = active_line()
        if line is not None and self._redraw.due:
            line.update(Progress("repeating environment steps", done, total, advances=True))
            self._redraw = Timer(_PROGRESS_SECONDS)
