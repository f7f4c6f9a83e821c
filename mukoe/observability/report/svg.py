"""Line plots as small SVG, deterministic, in light and dark colours by CSS."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from mukoe.observability.report.text import number, tick

LIGHT = ("#1f6fd0", "#c8501a", "#178a5f", "#a93a92", "#8a6a00", "#5a4fcf", "#b02a37", "#3f6b73")
DARK = ("#6aa9ff", "#ff9257", "#4fcf9b", "#e986d2", "#d9b53a", "#a59cff", "#ff7d88", "#86bcc6")
NUM_COLOURS = len(LIGHT)

HOVER_STYLE = "svg circle.hover{opacity:0}svg circle.hover:hover{opacity:1}"
"""CSS of points that appear under the mouse."""

_WIDTH, _HEIGHT = 400, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 10, 38
_CHARACTER_WIDTH = 6.4
_SMALLEST_SPREAD = 1e-4


@dataclasses.dataclass(frozen=True)
class Line:
    """Line of a plot.

    x, y: `[N]` coordinates of the points.
    colour: index into the palette; indices beyond it are drawn dashed.
    label: tooltip of the line in a browser.
    faint: flag of a single seed, drawn behind the mean of its group.
    low, high: `[N]` band around the line; None without one.
    """

    x: np.ndarray
    y: np.ndarray
    colour: int = 0
    label: str = ""
    faint: bool = False
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def style() -> str:
    """Returns the CSS of plots, for a page or for a single file."""
    return (
        f":root{{--ink:#1c1f24;--soft:#5d6470;--rule:#dfe2e7;--ground:#ffffff;{_colours(LIGHT)}}}"
        "@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a2a9b4;--rule:#363b44;"
        f"--ground:#16181d;{_colours(DARK)}}}}}"
        "svg text{font:11px system-ui,sans-serif;fill:var(--soft)}"
        "svg .title{font-weight:600;font-size:12px;fill:var(--ink)}"
        "svg .grid{stroke:var(--rule);stroke-width:1}"
        "svg .threshold{stroke:var(--soft);stroke-width:1;stroke-dasharray:2 3}"
        "svg path{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}"
        "svg path.faint{stroke-width:1;opacity:.4}"
        "svg path.band{stroke:none;opacity:.16}"
        "svg .dashed{stroke-dasharray:6 4}"
        + "".join(
            f"svg path.c{i}{{stroke:var(--c{i})}}"
            f"svg path.band.c{i},svg circle.c{i}{{fill:var(--c{i})}}"
            for i in range(NUM_COLOURS)
        )
        + "svg path.band{stroke:none}"
    )


def _colours(palette: Sequence[str]) -> str:
    return "".join(f"--c{index}:{colour};" for index, colour in enumerate(palette))


def line_plot(
    lines: Sequence[Line],
    x_label: str,
    description: str,
    threshold: float | None = None,
    title: str = "",
    legend: Mapping[int, str] | None = None,
    include: float | None = None,
    hover: bool = False,
    logarithmic: bool = False,
) -> str:
    """Returns an `<svg>` element.

    Args:
      lines: lines in drawing order; faint ones are drawn first.
      x_label: label of the horizontal axis, which starts at 0, or at the first positive position if
        it is logarithmic.
      description: text for screen readers.
      threshold: value marked by a horizontal line; None for none.
      title: heading; with it the element is a complete file with its own style and background.
      legend: palette index to name, listed on the right of the plot; None for none.
      include: value that the vertical axis includes; None for none.
      hover: True for points that show their values under the mouse.
      logarithmic: True for a logarithmic horizontal axis.
    """
    top = _TOP + (20 if title else 0)
    heights = [part for line in lines for part in (line.y, line.low, line.high) if part is not None]
    heights += [np.array([value]) for value in (threshold, include) if value is not None]
    positions = [line.x for line in lines]
    if logarithmic:
        x0, x1 = _range([x[x > 0] for x in positions])
    else:
        x0, x1 = _range([np.zeros(1), *positions])
    y0, y1 = _range(heights)
    margin = 0.04 * (y1 - y0)
    frame = _Frame(x0, x1, y0 - margin, y1 + margin, top, logarithmic)
    names = legend or {}
    width = _WIDTH + math.ceil(_CHARACTER_WIDTH * max(map(len, names.values()), default=0))
    size = f'xmlns="http://www.w3.org/2000/svg" width="{width}" height="{_HEIGHT}" '
    parts = [
        f'<svg {size if title else ""}viewBox="0 0 {width} {_HEIGHT}" role="img" '
        f'aria-label="{escape(description)}">'
    ]
    if title:
        parts += [
            f"<style>{style()}{HOVER_STYLE if hover else ''}</style>",
            f'<rect width="{width}" height="{_HEIGHT}" style="fill:var(--ground)"/>',
            f'<text class="title" x="{_LEFT}" y="18">{escape(title)}</text>',
        ]
    parts += _axes(frame, f"{x_label} (logarithmic)" if logarithmic else x_label)
    if threshold is not None:
        parts.append(_horizontal(frame, threshold, "threshold"))
    for line in sorted(lines, key=lambda line: not line.faint):
        parts += _draw(frame, line)
    if hover:
        parts += [part for line in lines for part in _hover_points(frame, line, x_label)]
    parts += _legend(names, top)
    return "\n".join([*parts, "</svg>"])


@dataclasses.dataclass(frozen=True)
class _Frame:
    """Map from values to pixels.

    x0, x1: ends of the horizontal axis.
    y0, y1: ends of the vertical axis.
    top: pixel row of `y1`.
    logarithmic: True for a logarithmic horizontal axis.
    """

    x0: float
    x1: float
    y0: float
    y1: float
    top: int
    logarithmic: bool = False

    def x(self, value: float) -> float:
        inside = _WIDTH - _LEFT - _RIGHT
        if self.logarithmic:
            ratio = max(value, self.x0) / self.x0
            return _LEFT + inside * math.log(ratio) / math.log(self.x1 / self.x0)
        return _LEFT + inside * (value - self.x0) / (self.x1 - self.x0)

    def y(self, value: float) -> float:
        inside = _HEIGHT - self.top - _BOTTOM
        return self.top + inside * (self.y1 - value) / (self.y1 - self.y0)


def _range(parts: Sequence[np.ndarray]) -> tuple[float, float]:
    """Returns the lowest and the highest value, apart from each other even for equal values."""
    values = np.concatenate([np.zeros(0), *parts])
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    size = max(abs(low), abs(high))
    if high - low <= 1e-9 * size:
        margin = abs(low) / 2 or 0.5
        return low - margin, high + margin
    # Labels have six digits.
    margin = max(0.0, _SMALLEST_SPREAD * size - (high - low)) / 2
    return low - margin, high + margin


def _ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Returns round numbers from `low` to `high`, ends included."""
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) < most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def _ticks_of_ratios(low: float, high: float, most: int = 6) -> list[float]:
    """Returns powers of ten from `low` to `high`, with 2 and 5 times these if they are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        values = [float(f"{factor}e{power}") for power in powers for factor in factors]
        inside = [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(inside) <= most:
            break
    return inside


def _axes(frame: _Frame, x_label: str) -> list[str]:
    bottom = _HEIGHT - _BOTTOM
    parts = []
    for value in _ticks(frame.y0, frame.y1):
        parts.append(_horizontal(frame, value, "grid"))
        label, place = tick(value), f'x="{_LEFT - 6}" y="{frame.y(value) + 4:.1f}"'
        if _CHARACTER_WIDTH * len(label) > _LEFT - 6:
            place += f' textLength="{_LEFT - 8}" lengthAdjust="spacingAndGlyphs"'
        parts.append(f'<text {place} text-anchor="end">{label}</text>')
    find_ticks = _ticks_of_ratios if frame.logarithmic else _ticks
    for value in find_ticks(frame.x0, frame.x1):
        x = frame.x(value)
        anchor = "end" if x > _WIDTH - _RIGHT - 12 else "middle"
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="{anchor}">{tick(value)}</text>'
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text x="{middle:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>'
    )
    return parts


def _legend(names: Mapping[int, str], top: int) -> list[str]:
    """Returns the names on the right of the plot, each in its colour."""
    x = _WIDTH - _RIGHT + 8
    return [
        f'<text x="{x}" y="{top + 12 + 14 * row}" '
        f'style="fill:var(--c{colour % NUM_COLOURS})">{escape(name)}</text>'
        for row, (colour, name) in enumerate(names.items())
    ]


def _horizontal(frame: _Frame, value: float, kind: str) -> str:
    y = f"{frame.y(value):.1f}"
    return f'<line class="{kind}" x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}"/>'


def _draw(frame: _Frame, line: Line) -> list[str]:
    colour = f"c{line.colour % NUM_COLOURS}"
    look = f"{colour}{' faint' if line.faint else ''}"
    look += " dashed" if line.colour >= NUM_COLOURS else ""
    title = f"<title>{escape(line.label)}</title>"
    parts = []
    if line.low is not None and line.high is not None:
        there = _points(frame, line.x, line.high)
        back = _points(frame, line.x[::-1], line.low[::-1])
        parts.append(f'<path class="band {colour}" d="M{there}L{back}Z"/>')
    if len(line.x) == 1:
        x, y = frame.x(line.x[0]), frame.y(line.y[0])
        parts.append(f'<circle class="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3">{title}</circle>')
    elif len(line.x):
        parts.append(f'<path class="{look}" d="M{_points(frame, line.x, line.y)}">{title}</path>')
    return parts


def _hover_points(frame: _Frame, line: Line, x_label: str) -> list[str]:
    """Returns invisible points, each with its values as a tooltip."""
    return [
        f'<circle class="hover c{line.colour % NUM_COLOURS}" cx="{frame.x(x):.1f}" '
        f'cy="{frame.y(y):.1f}" r="4"><title>{escape(line.label)}\n'
        f"{escape(x_label)} {number(float(x))}: {number(float(y))}</title></circle>"
        for x, y in zip(line.x, line.y, strict=True)
    ]


def _points(frame: _Frame, x: np.ndarray, y: np.ndarray) -> str:
    return "L".join(f"{frame.x(a):.1f},{frame.y(b):.1f}" for a, b in zip(x, y, strict=True))
