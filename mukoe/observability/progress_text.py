"""Content of the progress line, and its text at a given width."""

import dataclasses
from collections.abc import Callable


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


def line_parts(
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


def fit(parts: list[tuple[int, str]], width: int | None) -> str:
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
