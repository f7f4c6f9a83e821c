"""Pictures of an episode: the environment, and the search of the agent beside it."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from mukoe.viewing.action_table import draw_action_table
from mukoe.viewing.episodes import EpisodeStep
from mukoe.viewing.inspected_agent import Decision, format_action
from mukoe.viewing.numbers import format_number, format_sum
from mukoe.viewing.style import (
    BACKGROUND,
    CHOSEN,
    FAINT,
    HEIGHT,
    LEFT,
    LINE_TOP,
    MARGIN,
    POLICY,
    RAISED,
    RIGHT,
    TABLE_TOP,
    TEXT,
    WIDTH,
    load_font,
    shorten,
)

_FRAME = (MARGIN, MARGIN, 576, 600)
_CURVE = (LEFT, 96, RIGHT, 206)
# Highest factor of an enlargement with interpolation.
_SMOOTH_SCALE = 2.0
# Minimum range of the curve relative to the values, so that noise is not magnified.
_MIN_RANGE = 0.02


class Panel:
    """Draws the steps of an episode as pictures `[720, 1280, 3]` uint8."""

    def __init__(self, names: Sequence[str], title: str):
        """Initialises the panel.

        Args:
          names: names of the actions.
          title: title below the picture of the environment.
        """
        self._names = list(names)
        self._title = title

    def draw(self, step: EpisodeStep, frame: np.ndarray) -> np.ndarray:
        """Returns the picture of a step, without the curve of values, see `draw_curve`.

        Args:
          step: step of the episode.
          frame: picture `[H, W, 3]` uint8 of the environment.
        """
        image = Image.new("RGB", (WIDTH, HEIGHT), BACKGROUND)
        draw = ImageDraw.Draw(image)
        _paste_frame(image, frame)
        self._draw_status(draw, step)
        self._draw_value(draw, step)
        if step.decision is None:
            draw.text((LEFT, TABLE_TOP + 24), "the episode is over", FAINT, load_font(22))
            draw.text((LEFT, TABLE_TOP + 60), step.result, CHOSEN, load_font(44))
        else:
            draw_action_table(draw, step.decision, self._names)
            self._draw_line(draw, step.decision)
        return np.asarray(image)

    def _draw_status(self, draw: ImageDraw.ImageDraw, step: EpisodeStep) -> None:
        left, _, right, bottom = _FRAME
        draw.text((left, bottom + 16), self._title, FAINT, load_font(18))
        entries = (
            ("episode", str(step.episode + 1)),
            ("step", str(step.step_index)),
            ("reward", _signed(step.reward)),
            ("return", format_sum(step.score)),
        )
        width = (right - left) / len(entries)
        for index, (label, value) in enumerate(entries):
            x = left + index * width
            draw.text((x, bottom + 44), label, FAINT, load_font(15))
            draw.text((x, bottom + 62), value, TEXT, load_font(24))

    def _draw_value(self, draw: ImageDraw.ImageDraw, step: EpisodeStep) -> None:
        decision = step.decision
        if decision is None or decision.value is None:
            return
        draw.text((LEFT, MARGIN - 2), "root value", FAINT, load_font(16))
        draw.text((LEFT, MARGIN + 18), format_number(decision.value), TEXT, load_font(36))
        if decision.tree is None:
            return
        facts = (
            ("network's value", format_number(decision.tree.raw_values[0])),
            ("simulations", str(decision.tree.num_simulations)),
            ("depth", str(decision.tree.depths.max())),
        )
        for index, (label, text) in enumerate(facts):
            x = LEFT + 190 + index * 160
            draw.text((x, MARGIN - 2), label, FAINT, load_font(16))
            draw.text((x, MARGIN + 24), text, TEXT, load_font(24))

    def _draw_line(self, draw: ImageDraw.ImageDraw, decision: Decision) -> None:
        draw.text((LEFT, LINE_TOP), "expected line", FAINT, load_font(16))
        font = load_font(20)
        line = "  ".join(format_action(action, self._names) for action in decision.line)
        draw.text((LEFT, LINE_TOP + 22), shorten(line, RIGHT - LEFT, font), CHOSEN, font)


def draw_curve(picture: np.ndarray, shown: int, values: Sequence[float | None]) -> np.ndarray:
    """Returns the picture of a step with the curve of the values up to it.

    Args:
      picture: picture `[720, 1280, 3]` uint8 of `Panel.draw`.
      shown: index of the step.
      values: values of all steps of the episode, on whose axes the curve is drawn.
    """
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle(_CURVE, 6, RAISED)
    points = [(step, value) for step, value in enumerate(values) if value is not None]
    if points:
        _draw_points(draw, shown, points, max(1, len(values) - 1))
    return np.asarray(image)


def _draw_points(
    draw: ImageDraw.ImageDraw, shown: int, points: Sequence[tuple[int, float]], length: int
) -> None:
    """Draws the points `(step, value)` up to step `shown` on an axis of `length` steps."""
    left, top, right, bottom = _CURVE
    steps, values = np.array(points, np.float64).T
    low, high = float(values.min()), float(values.max())
    if (missing := _MIN_RANGE * max(1.0, abs(high)) - (high - low)) > 0:
        low, high = low - missing / 2, high + missing / 2
    font = load_font(14)
    draw.text((left + 10, top + 6), _short(high), FAINT, font)
    draw.text((left + 10, bottom - 22), _short(low), FAINT, font)
    draw.text((right - 10, bottom - 22), f"step {length}", FAINT, font, anchor="ra")
    xs = left + 60 + steps * ((right - left - 76) / length)
    ys = bottom - 14 - (values - low) / (high - low) * (bottom - top - 28)
    curve = [(x, y) for x, y, step in zip(xs, ys, steps, strict=True) if step <= shown]
    if curve:
        draw.line(curve * (1 + (len(curve) == 1)), POLICY, 2, "curve")
        x, y = curve[-1]
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), CHOSEN)


def _paste_frame(image: Image.Image, frame: np.ndarray) -> None:
    """Scales the frame into its box.

    A small frame, of game pixels, is enlarged by a whole factor without interpolation and then
    shrunk, so that its pixels stay sharp and of equal size.
    """
    left, top, right, bottom = _FRAME
    height, width = frame.shape[:2]
    scale = min((right - left) / width, (bottom - top) / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(np.ascontiguousarray(frame))
    small = scale > _SMOOTH_SCALE
    if small:
        factor = math.ceil(scale)
        picture = picture.resize((width * factor, height * factor), Image.Resampling.NEAREST)
    resample = Image.Resampling.BOX if small else Image.Resampling.LANCZOS
    picture = picture.resize(size, resample)
    corner = (left + (right - left - size[0]) // 2, top + (bottom - top - size[1]) // 2)
    image.paste(picture, corner)


def _short(number: float) -> str:
    """Returns a label of an axis with 3 digits, and without the sign of a zero."""
    return f"{round(number, 6) + 0.0:.3g}"


def _signed(number: float) -> str:
    text = format_sum(number)
    return f"+{text}" if number > 0 and float(text) > 0 else text
