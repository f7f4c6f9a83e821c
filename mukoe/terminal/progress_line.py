"""Progress line on the terminal."""

import collections
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from mukoe.terminal.progress_text import Progress, fit, line_parts
from mukoe.terminal.remaining_time import RemainingTime

_WINDOW = 30.0
_REDRAW = 0.1
_STALE = 5.0
_TICK = 0.5


class ProgressLine:
    """Shows `Progress` on one line.

    On a terminal the line is rewritten in place and fitted to the width: the least important
    parts are omitted first. In a file or a pipe, a plain line is printed at most every
    `plain_interval` seconds, and when a phase with a count begins for the first time. After an
    error of the stream, nothing more is written. The methods are thread-safe.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        phase: str = "starting",
        plain_interval: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Starts the line.

        Args:
          stream: output stream; None for the standard error.
          phase: first phase.
          plain_interval: seconds between lines on a stream that is not a terminal.
          clock: function that returns seconds.
        """
        self._stream = sys.stderr if stream is None else stream
        self._plain_interval = plain_interval
        self._clock = clock
        self._start = clock()
        self._terminal = _is_terminal(self._stream)
        self._lock = threading.RLock()
        self._progress = Progress(phase)
        self._shown: Progress | None = None if self._terminal else self._progress
        self._seen: set[str] = set()
        self._samples: collections.deque[tuple[float, Progress]] = collections.deque()
        self._remaining = RemainingTime()
        self._source: Callable[[], Progress] | None = None
        self._drawn_at = float("-inf") if self._terminal else self._start
        self._closed = threading.Event()
        self._draw()
        self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._ticker.start()
        global _active
        _active = self

    @property
    def phase(self) -> str:
        """Phase that the line shows."""
        return self._progress.phase

    def update(self, progress: Progress) -> None:
        """Sets the content, and redraws the line if the interval has passed."""
        with self._lock:
            now = self._clock()
            new_phase = progress.phase != self._progress.phase
            if new_phase:
                self._samples.clear()
            self._progress = progress
            self._samples.append((now, progress))
            while len(self._samples) > 2 and self._samples[1][0] < now - _WINDOW:
                self._samples.popleft()
            self._estimate(now)
            self._draw(force=new_phase and self._shows_new_phase())

    def follow(self, source: Callable[[], Progress]) -> None:
        """Updates the line from `source` twice a second, and once more when it is closed."""
        with self._lock:
            self._source = source
            self.update(source())

    def message(self, text: str) -> None:
        """Prints a line above the progress line."""
        with self._lock:
            if self._terminal and not self._closed.is_set():
                self._write(f"\r\x1b[K{text}\n")
                self._draw(force=True)
            else:
                self._write(f"{text}\n")

    def close(self, erase: bool = False) -> None:
        """Draws the last content and moves the cursor to a new line.

        Args:
          erase: True to erase the line on a terminal instead.
        """
        global _active
        with self._lock:
            if self._closed.is_set():
                return
            if self._source is not None:
                self.update(self._source())
            if self._terminal and erase:
                self._write("\r\x1b[K")
            elif self._terminal or (self._shown is not self._progress and not erase):
                self._draw(force=True)
            if self._terminal and not erase:
                self._write("\n")
            self._closed.set()
            if _active is self:
                _active = None
        self._ticker.join(timeout=2.0)

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *unused) -> None:
        self.close()

    def _tick(self) -> None:
        """Updates from the source, and redraws the clock while there are no updates."""
        while not self._closed.wait(_TICK):
            with self._lock:
                if self._closed.is_set():
                    return
                if self._source is None:
                    self._draw()
                else:
                    self.update(self._source())

    def _shows_new_phase(self) -> bool:
        """Returns whether the phase is drawn at once."""
        is_first = self._progress.phase not in self._seen
        self._seen.add(self._progress.phase)
        return self._terminal or (is_first and self._progress.is_counted)

    def _estimate(self, now: float) -> None:
        fraction = self._progress.fraction
        if self._progress.advances and fraction is not None:
            self._remaining.add(now, fraction)
        else:
            self._remaining.reset()

    def _draw(self, force: bool = False) -> None:
        now = self._clock()
        interval = _REDRAW if self._terminal else self._plain_interval
        if not force and now - self._drawn_at < interval:
            return
        self._drawn_at = now
        self._shown = self._progress
        elapsed, remaining = now - self._start, self._remaining.seconds()
        parts = line_parts(self._progress, self._rate, elapsed, remaining)
        if self._terminal:
            # Some terminals wrap after the last column, so it stays empty.
            self._write(f"\r{fit(parts, _width(self._stream) - 1)}\x1b[K")
        else:
            self._write(fit(parts, None) + "\n")

    def _rate(self, field: str) -> float | None:
        """Returns the growth of a field per second over the moving window, None if unknown."""
        if len(self._samples) < 2:
            return None
        (then, first), (at, last) = self._samples[0], self._samples[-1]
        now = self._clock()
        end = now if now - at > _STALE else at
        before, after = getattr(first, field), getattr(last, field)
        if before is None or after is None or end <= then or after <= before:
            return None
        return (after - before) / (end - then)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            # The terminal is closed; the run continues without it.
            self._closed.set()


_active: ProgressLine | None = None


def active_line() -> ProgressLine | None:
    """Returns the open progress line of this process, None if there is none."""
    return _active


def process_line() -> ProgressLine:
    """Returns the progress line of this process, opened if there is none."""
    return _active or ProgressLine()


def show_phase(phase: str) -> None:
    """Shows a phase without counts on the progress line of this process, if there is one."""
    if _active is not None:
        _active.update(Progress(phase))


def erase_line() -> None:
    """Closes the progress line of this process, if there is one, without a trace."""
    if _active is not None:
        _active.close(erase=True)


def print_line(text: str) -> None:
    """Prints a line on the standard error, above the progress line of this process."""
    line = _active
    if line is not None:
        line.message(text)
    else:
        print(text, file=sys.stderr, flush=True)


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return shutil.get_terminal_size().columns
