"""Progress line on the terminal."""

import collections
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from mukoe.observability.progress_text import Progress, fit, line_parts

_WINDOW = 30.0
_REDRAW = 0.1
_STALE = 5.0


class ProgressLine:
    """Shows `Progress` on one line.

    On a terminal the line is rewritten in place and fitted to the width: the least important
    parts are omitted first. In a file or a pipe, a plain line is printed at most every
    `plain_interval` seconds. After an error of the stream, nothing more is written. The methods
    are thread-safe.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        plain_interval: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Starts the line.

        Args:
          stream: output stream; None for the standard error.
          plain_interval: seconds between lines on a stream that is not a terminal.
          clock: function that returns seconds.
        """
        self._stream = sys.stderr if stream is None else stream
        self._plain_interval = plain_interval
        self._clock = clock
        self._start = clock()
        self._terminal = _is_terminal(self._stream)
        self._lock = threading.RLock()
        self._progress = Progress(phase="starting")
        self._samples: collections.deque[tuple[float, Progress]] = collections.deque()
        self._drawn_at = float("-inf")
        self._shown: Progress | None = None
        self._closed = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._ticker.start()
        global _active
        _active = self

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
            self._draw(force=new_phase)

    def message(self, text: str) -> None:
        """Prints a line above the progress line."""
        with self._lock:
            if self._terminal and not self._closed.is_set():
                self._write(f"\r\x1b[K{text}\n")
                self._draw(force=True)
            else:
                self._write(f"{text}\n")

    def close(self) -> None:
        """Draws the last content and moves the cursor to a new line."""
        global _active
        with self._lock:
            if self._closed.is_set():
                return
            if self._terminal or self._shown is not self._progress:
                self._draw(force=True)
            if self._terminal:
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
        """Redraws the clock while there are no updates."""
        while not self._closed.wait(1.0):
            with self._lock:
                if not self._closed.is_set():
                    self._draw()

    def _draw(self, force: bool = False) -> None:
        now = self._clock()
        interval = _REDRAW if self._terminal else self._plain_interval
        if not force and now - self._drawn_at < interval:
            return
        self._drawn_at = now
        self._shown = self._progress
        parts = line_parts(self._progress, self._rate, now - self._start)
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
        if before is None or after is None or end <= then:
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
