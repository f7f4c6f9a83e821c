"""Pictures of an episode: the environment, and the search of the agent beside it."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from mukoe.viewing.action_table import draw_action_table
from mukoe.viewing.episodes import EpisodeStep
from mukoe.viewing.inspected_agent import Decision, format_action
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
# Minimum range of the curve relative to the values, so that noise is not magnified.
_MIN_RANGE = 0.02


class Panel:
    """Draws the steps of an episode, in order, as pictures `[720, 1280, 3]` uint8.

    The panel stores the values of the episode for their curve.
    """

    def __init__(self, names: Sequence[str], title: str, horizon: int = 50):
        """Initialises the panel.

        Args:
          names: names of the actions.
          title: title below the picture of the environment.
          horizon: initial number of steps of the curve, which grows with the episode.
        """
        self._names = list(names)
        self._title = title
        self._horizon = horizon
        self._values: list[float] = []

    def draw(self, step: EpisodeStep, frame: np.ndarray) -> np.ndarray:
        """Returns the picture of a step.

        Args:
          step: step of the episode; step 0 starts a new curve.
          frame: picture `[H, W, 3]` uint8 of the environment.
        """
        if step.step_index == 0:
            self._values = []
        if step.value is not None:
            self._values.append(step.value)
        image = Image.new("RGB", (WIDTH, HEIGHT), BACKGROUND)
        draw = ImageDraw.Draw(image)
        _paste_frame(image, frame)
        self._draw_status(draw, step)
        self._draw_value(draw, step)
        self._draw_curve(draw)
        if step.decision is None:
            draw.text((LEFT, TABLE_TOP + 40), "the episode is over", FAINT, load_font(22))
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
            ("return", f"{step.score:.6g}"),
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
        draw.text((LEFT, MARGIN + 18), f"{decision.value:.3f}", TEXT, load_font(36))
        if decision.tree is None:
            return
        facts = (
            ("network's value", f"{decision.tree.raw_values[0]:.3f}"),
            ("simulations", str(decision.tree.num_simulations)),
            ("depth", str(decision.tree.depths.max())),
        )
        for index, (label, text) in enumerate(facts):
            x = LEFT + 190 + index * 160
            draw.text((x, MARGIN - 2), label, FAINT, load_font(16))
            draw.text((x, MARGIN + 24), text, TEXT, load_font(24))

    def _draw_curve(self, draw: ImageDraw.ImageDraw) -> None:
        left, top, right, bottom = _CURVE
        draw.rounded_rectangle(_CURVE, 6, RAISED)
        if not self._values:
            return
        values = np.array(self._values)
        while self._horizon < len(values):
            self._horizon *= 2
        low, high = float(values.min()), float(values.max())
        if (missing := _MIN_RANGE * max(1.0, abs(high)) - (high - low)) > 0:
            low, high = low - missing / 2, high + missing / 2
        xs = left + 60 + np.arange(len(values)) * ((right - left - 76) / (self._horizon - 1))
        ys = bottom - 14 - (values - low) / (high - low) * (bottom - top - 28)
        font = load_font(14)
        draw.text((left + 10, top + 6), f"{high:.3g}", FAINT, font)
        draw.text((left + 10, bottom - 22), f"{low:.3g}", FAINT, font)
        draw.text((right - 10, bottom - 22), f"step {self._horizon}", FAINT, font, anchor="ra")
        draw.line(list(zip(xs, ys, strict=True)) * (1 + (len(xs) == 1)), POLICY, 2, "curve")
        draw.ellipse((xs[-1] - 4, ys[-1] - 4, xs[-1] + 4, ys[-1] + 4), CHOSEN)

    def _draw_line(self, draw: ImageDraw.ImageDraw, decision: Decision) -> None:
        draw.text((LEFT, LINE_TOP), "expected line", FAINT, load_font(16))
        font = load_font(20)
        line = "  ".join(format_action(action, self._names) for action in decision.line)
        draw.text((LEFT, LINE_TOP + 22), shorten(line, RIGHT - LEFT, font), CHOSEN, font)


def _paste_frame(image: Image.Image, frame: np.ndarray) -> None:
    """Scales the frame into its box; small frames are enlarged without interpolation."""
    left, top, right, bottom = _FRAME
    height, width = frame.shape[:2]
    scale = min((right - left) / width, (bottom - top) / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resample = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    picture = Image.fromarray(np.ascontiguousarray(frame)).resize(size, resample)
    corner = (left + (right - left - size[0]) // 2, top + (bottom - top - size[1]) // 2)
    image.paste(picture, corner)


def _signed(number: float) -> str:
    return "0" if number == 0 else f"{number:+.4g}"
