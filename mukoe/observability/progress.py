"""Progress line on the terminal."""

import collections
import dataclasses
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

_WINDOW = 30.0
_REDRAW = 0.1
_STALE = 5.0


@dataclasses.dataclass(frozen=True)
class Progress:
    """Content of the progress line; fields that are None are omitted.

    phase: phase before learning, such as `compiling`; empty during learning.
    phase_done, phase_total: progress of the phase, such as 120 of 1000 items in replay.
    learner_steps: number of updates.
    environment_frames: number of emulator frames of all actors.
    replay_fill: used fraction of the replay's capacity, in [0, 1].
    samples_per_insert: mean number of samples of an item.
    last_return, best_return: undiscounted episode returns.
    loss: loss of the last update.
    run_fraction: finished fraction of the run, in [0, 1], from which the remaining time follows.
    """

    phase: str = ""
    phase_done: float | None = None
    phase_total: float | None = None
    learner_steps: float | None = None
    environment_frames: float | None = None
    replay_fill: float | None = None
    samples_per_insert: float | None = None
    last_return: float | None = None
    best_return: float | None = None
    loss: float | None = None
    run_fraction: float | None = None


def format_number(value: float) -> str:
    """Returns a number in about four characters, such as 0.012, 3.21, 45, 12.3k or 1.2M."""
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    magnitude = abs(value)
    for divisor, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if magnitude >= 0.9995 * divisor:
            scaled = value / divisor
            return f"{scaled:.1f}{suffix}" if abs(scaled) < 99.95 else f"{scaled:.0f}{suffix}"
    if float(value).is_integer():
        return f"{value:.0f}"
    if magnitude < 0.001:
        return f"{value:.0e}"
    return f"{value:.3g}" if magnitude < 99.95 else f"{value:.0f}"


def format_duration(seconds: float) -> str:
    """Returns `0:42`, `12:05`, `3:20:00` or `2d 04h`."""
    seconds = round(seconds)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 100:
        return f"{hours // 24}d {hours % 24:02d}h"
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


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
        parts = _parts(self._progress, self._rate, now - self._start)
        if self._terminal:
            # Some terminals wrap after the last column, so it stays empty.
            self._write(f"\r{_fit(parts, _width(self._stream) - 1)}\x1b[K")
        else:
            self._write(_fit(parts, None) + "\n")

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


def _parts(
    progress: Progress, rate: Callable[[str], float | None], elapsed: float
) -> list[tuple[int, str]]:
    """Returns the parts of the line in order, each with a rank; rank 0 is never omitted."""
    number = format_number
    parts: list[tuple[int, str]] = [(6, format_duration(elapsed))]

    def count(rank: int, field: str, name: str) -> None:
        value, per_second = getattr(progress, field), rate(field)
        if value is None:
            return
        parts.append((rank, f"{number(value)} {name}"))
        if per_second is not None:
            parts.append((rank + 2, f"{number(per_second)}/s"))

    if progress.phase:
        parts.append((0, _phase(progress)))
    count(0, "learner_steps", "steps")
    count(1, "environment_frames", "frames")
    if progress.last_return is not None:
        best = progress.best_return
        parts.append((1, f"return {_format_return(progress.last_return)}"))
        if best is not None:
            parts.append((4, f"best {_format_return(best)}"))
    if progress.loss is not None:
        parts.append((5, f"loss {number(progress.loss)}"))
    if progress.replay_fill is not None:
        parts.append((7, f"replay {100 * progress.replay_fill:.0f}%"))
    if progress.samples_per_insert is not None:
        parts.append((9, f"sampled {progress.samples_per_insert:.1f}x"))
    left = _seconds_left(progress.run_fraction, rate("run_fraction"))
    if left is not None:
        parts.append((8, f"{format_duration(left)} left"))
    return parts


def _phase(progress: Progress) -> str:
    if progress.phase_done is None:
        return progress.phase
    total = "" if progress.phase_total is None else f"/{_format_count(progress.phase_total)}"
    return f"{progress.phase} {_format_count(progress.phase_done)}{total}"


def _format_return(value: float) -> str:
    """Returns a return; values from 1,000 to 99,999 are not shortened."""
    return f"{value:.0f}" if 1000 <= abs(value) < 99_999.5 else format_number(value)


def _format_count(value: float) -> str:
    """Returns a count; values below 10,000 are not shortened."""
    return f"{value:.0f}" if value < 10_000 else format_number(value)


def _seconds_left(fraction: float | None, per_second: float | None) -> float | None:
    if fraction is None or not per_second or per_second < 0:
        return None
    return max(0.0, 1.0 - fraction) / per_second


def _fit(parts: list[tuple[int, str]], width: int | None) -> str:
    """Joins the parts, omitting the highest ranks until they fit."""
    text = _join(parts)
    if width is None:
        return text
    while len(text) > width and any(rank for rank, _ in parts):
        worst = max(rank for rank, _ in parts)
        parts = [part for part in parts if part[0] != worst]
        text = _join(parts)
    return text[: max(width, 0)]


def _join(parts: list[tuple[int, str]]) -> str:
    """Joins parts by two spaces; a rate follows its count, and `best` its return, after one."""
    text = ""
    for _, part in parts:
        clings = part.endswith("/s") or part.startswith("best ")
        text += part if not text else (" " if clings else "  ") + part
    return text
