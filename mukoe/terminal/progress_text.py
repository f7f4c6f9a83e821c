"""Content of the progress line, and its text at a given width."""

import dataclasses
from collections.abc import Callable

LEARNING = "learning"


@dataclasses.dataclass(frozen=True)
class Progress:
    """Content of the progress line; fields that are None are omitted.

    phase: phase of the run, such as `compiling the update`.
    phase_done, phase_total: progress of the phase, such as 120 of 1000 items in replay.
    steps, max_steps: agent steps of the run and their limit.
    updates: number of updates.
    replay_fill: used fraction of the replay's capacity, in [0, 1].
    samples_per_insert: mean number of samples of an item.
    last_return, best_return: undiscounted episode returns.
    loss: loss of the last update.
    advances: True if the run advances in this phase, so that its remaining time follows.
    """

    phase: str
    phase_done: float | None = None
    phase_total: float | None = None
    steps: float | None = None
    max_steps: float | None = None
    updates: float | None = None
    replay_fill: float | None = None
    samples_per_insert: float | None = None
    last_return: float | None = None
    best_return: float | None = None
    loss: float | None = None
    advances: bool = False

    @property
    def fraction(self) -> float | None:
        """Finished fraction of the run, or of the phase outside a run; None if unknown."""
        done, total = self.steps, self.max_steps
        if total is None:
            done, total = self.phase_done, self.phase_total
        return None if done is None or not total else done / total

    @property
    def is_counted(self) -> bool:
        """True if the content has a count."""
        return self.steps is not None or self.phase_done is not None


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
    progress: Progress,
    rate: Callable[[str], float | None],
    elapsed: float,
    remaining: float | None,
) -> list[tuple[int, str]]:
    """Returns the parts of the line in order, each with a rank; rank 0 is never omitted.

    Args:
      progress: content of the line.
      rate: function that returns the growth of a field per second, None if unknown.
      elapsed: seconds since the start.
      remaining: estimated seconds to the end, None if unknown.
    """
    number = format_number
    parts: list[tuple[int, str]] = [(5, format_duration(elapsed)), (0, _phase(progress))]

    def add_rate(rank: int, field: str) -> None:
        if (per_second := rate(field)) is not None:
            parts.append((rank, f"{number(per_second)}/s"))

    if progress.steps is not None:
        limit = "" if progress.max_steps is None else f"/{_format_count(progress.max_steps)}"
        parts.append((2, f"{_format_count(progress.steps)}{limit} steps"))
        add_rate(6, "steps")
    if remaining is not None:
        parts.append((1, f"{format_duration(remaining)} left"))
    if progress.last_return is not None:
        best = progress.best_return
        parts.append((3, f"return {_format_return(progress.last_return)}"))
        if best is not None:
            parts.append((4, f"best {_format_return(best)}"))
    if progress.loss is not None:
        parts.append((7, f"loss {number(progress.loss)}"))
    if progress.updates:
        parts.append((8, f"{number(progress.updates)} updates"))
        add_rate(9, "updates")
    if progress.replay_fill is not None:
        parts.append((10, f"replay {100 * progress.replay_fill:.0f}%"))
    if progress.samples_per_insert is not None:
        parts.append((11, f"sampled {progress.samples_per_insert:.1f}x"))
    return parts


def _phase(progress: Progress) -> str:
    done, total = progress.phase_done, progress.phase_total
    if progress.phase == LEARNING:
        return progress.phase + _percent(progress.steps, progress.max_steps)
    if done is None:
        return progress.phase
    of = "" if total is None else f"/{_format_count(total)}"
    return f"{progress.phase} {_format_count(done)}{of}{_percent(done, total)}"


def _percent(done: float | None, total: float | None) -> str:
    """Returns the rounded down percentage; empty if it is unknown."""
    return "" if done is None or not total else f" {min(100, int(100 * done / total))}%"


def _format_return(value: float) -> str:
    """Returns a return; values from 1,000 to 99,999 are not shortened."""
    return f"{value:.0f}" if 1000 <= abs(value) < 99_999.5 else format_number(value)


def _format_count(value: float) -> str:
    """Returns a count; values below 10,000 are not shortened."""
    return f"{value:.0f}" if value < 10_000 else format_number(value)


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
