"""Pictures of an agent at work: the environment, and the search beside it."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mukoe.viewing.episodes import Moment
from mukoe.viewing.search_tree import SearchTree
from mukoe.viewing.watched_agent import Decision, write_action

WIDTH, HEIGHT = 1280, 720
MAX_ROWS = 18
"""Actions that are listed; of more, those with the most of the search policy."""

BACKGROUND = (20, 23, 28)
RAISED = (33, 38, 46)
TEXT = (235, 238, 242)
FAINT = (145, 154, 166)
POLICY = (86, 156, 255)
PRIOR = (112, 122, 136)
CHOSEN = (255, 190, 70)

_MARGIN = 24
_FRAME = (_MARGIN, _MARGIN, 576, 600)
_LEFT = 604
_RIGHT = WIDTH - _MARGIN
_CURVE = (_LEFT, 96, _RIGHT, 206)
_TABLE_TOP = 226
_LINE_TOP = 640
_NAME_WIDTH = 158
# The curve shows no smaller differences than this, relative to the values, as if they mattered.
_LEAST_SPAN = 0.02
_BARS = (_LEFT + _NAME_WIDTH, _RIGHT - 226)
_COLUMNS = tuple(_RIGHT - offset for offset in (152, 84, 8))


class _Row(NamedTuple):
    action: int
    prior: float
    policy: float
    visits: int
    qvalue: float


class Panel:
    """Draws the moments of an episode, in order, as pictures `[720, 1280, 3]` uint8.

    It remembers the values of the episode for their curve.
    """

    def __init__(self, names: Sequence[str], title: str, horizon: int = 50):
        """Takes what stays the same.

        Args:
          names: of the actions.
          title: what is watched.
          horizon: steps that the curve has room for at first; it grows with the episode.
        """
        self._names = list(names)
        self._title = title
        self._horizon = horizon
        self._values: list[float] = []

    def draw(self, moment: Moment, frame: np.ndarray) -> np.ndarray:
        """Returns the picture of a moment.

        Args:
          moment: of the episode; step 0 starts a new curve.
          frame: the picture `[H, W, 3]` uint8 of the environment.
        """
        if moment.step == 0:
            self._values = []
        if moment.value is not None:
            self._values.append(moment.value)
        image = Image.new("RGB", (WIDTH, HEIGHT), BACKGROUND)
        draw = ImageDraw.Draw(image)
        _paste_frame(image, frame)
        self._draw_status(draw, moment)
        self._draw_value(draw, moment)
        self._draw_curve(draw)
        if moment.decision is None:
            draw.text((_LEFT, _TABLE_TOP + 40), "the episode is over", FAINT, _font(22))
        else:
            self._draw_table(draw, moment.decision)
            self._draw_line(draw, moment.decision)
        return np.asarray(image)

    def _draw_status(self, draw: ImageDraw.ImageDraw, moment: Moment) -> None:
        left, _, right, bottom = _FRAME
        draw.text((left, bottom + 16), self._title, FAINT, _font(18))
        entries = (
            ("episode", str(moment.episode + 1)),
            ("step", str(moment.step)),
            ("reward", _signed(moment.reward)),
            ("return", f"{moment.score:.6g}"),
        )
        width = (right - left) / len(entries)
        for index, (label, value) in enumerate(entries):
            x = left + index * width
            draw.text((x, bottom + 44), label, FAINT, _font(15))
            draw.text((x, bottom + 62), value, TEXT, _font(24))

    def _draw_value(self, draw: ImageDraw.ImageDraw, moment: Moment) -> None:
        decision = moment.decision
        if decision is None or decision.value is None:
            return
        draw.text((_LEFT, _MARGIN - 2), "root value", FAINT, _font(16))
        draw.text((_LEFT, _MARGIN + 18), f"{decision.value:.3f}", TEXT, _font(36))
        if decision.tree is None:
            return
        facts = (
            ("network's value", f"{decision.tree.raw_values[0]:.3f}"),
            ("simulations", str(decision.tree.num_simulations)),
            ("depth", str(decision.tree.depths.max())),
        )
        for index, (label, text) in enumerate(facts):
            x = _LEFT + 190 + index * 160
            draw.text((x, _MARGIN - 2), label, FAINT, _font(16))
            draw.text((x, _MARGIN + 24), text, TEXT, _font(24))

    def _draw_curve(self, draw: ImageDraw.ImageDraw) -> None:
        left, top, right, bottom = _CURVE
        draw.rounded_rectangle(_CURVE, 6, RAISED)
        if not self._values:
            return
        values = np.array(self._values)
        while self._horizon < len(values):
            self._horizon *= 2
        low, high = float(values.min()), float(values.max())
        if (missing := _LEAST_SPAN * max(1.0, abs(high)) - (high - low)) > 0:
            low, high = low - missing / 2, high + missing / 2
        xs = left + 60 + np.arange(len(values)) * ((right - left - 76) / (self._horizon - 1))
        ys = bottom - 14 - (values - low) / (high - low) * (bottom - top - 28)
        font = _font(14)
        draw.text((left + 10, top + 6), f"{high:.3g}", FAINT, font)
        draw.text((left + 10, bottom - 22), f"{low:.3g}", FAINT, font)
        draw.text((right - 10, bottom - 22), f"step {self._horizon}", FAINT, font, anchor="ra")
        draw.line(list(zip(xs, ys, strict=True)) * (1 + (len(xs) == 1)), POLICY, 2, "curve")
        draw.ellipse((xs[-1] - 4, ys[-1] - 4, xs[-1] + 4, ys[-1] + 4), CHOSEN)

    def _draw_table(self, draw: ImageDraw.ImageDraw, decision: Decision) -> None:
        rows = _rows(decision)
        if not rows:
            return
        shown = sorted(_most_searched(rows, decision.action), key=lambda row: row.action)
        _draw_heading(draw, has_tree=decision.tree is not None)
        top = _TABLE_TOP + 24
        pitch = min(34.0, (_LINE_TOP - 24 - top) / len(shown))
        scale = max(1e-9, max(max(row.policy, row.prior) for row in shown))
        for index, row in enumerate(shown):
            self._draw_row(draw, row, top + index * pitch, pitch, scale, decision)
        if len(shown) < len(rows):
            note = f"and {len(rows) - len(shown)} more legal actions"
            draw.text((_LEFT, _LINE_TOP - 24), note, FAINT, _font(14))

    def _draw_row(
        self,
        draw: ImageDraw.ImageDraw,
        row: _Row,
        top: float,
        pitch: float,
        scale: float,
        decision: Decision,
    ) -> None:
        chosen = row.action == decision.action
        colour = CHOSEN if chosen else TEXT
        middle = top + pitch / 2
        font = _font(int(min(17, pitch - 4)))
        name = _shorten(self._names[row.action], _NAME_WIDTH - 10, font)
        draw.text((_LEFT, middle), name, colour, font, anchor="lm")
        left, right = _BARS
        thick = max(3.0, pitch * 0.34)
        policy_end = left + (right - left) * row.policy / scale
        draw.rectangle((left, middle - thick, policy_end, middle - 1), CHOSEN if chosen else POLICY)
        if decision.tree is not None:
            end = left + (right - left) * row.prior / scale
            draw.rectangle((left, middle + 1, end, middle + thick * 0.75), PRIOR)
        texts = [f"{row.policy:.1%}"]
        if decision.tree is not None:
            qvalue = "-" if np.isnan(row.qvalue) else f"{row.qvalue:.3f}"
            texts += [str(row.visits), qvalue]
        for x, text in zip(_COLUMNS, texts, strict=False):
            draw.text((x, middle), text, colour, font, anchor="rm")

    def _draw_line(self, draw: ImageDraw.ImageDraw, decision: Decision) -> None:
        draw.text((_LEFT, _LINE_TOP), "expected line", FAINT, _font(16))
        font = _font(20)
        line = "  ".join(write_action(action, self._names) for action in decision.line)
        draw.text((_LEFT, _LINE_TOP + 22), _shorten(line, _RIGHT - _LEFT, font), CHOSEN, font)


def _rows(decision: Decision) -> list[_Row]:
    """The legal actions of a decision."""
    tree, policy = decision.tree, decision.policy
    if policy is None:
        return []
    legal: np.ndarray = policy > 0 if tree is None else tree.legal_actions
    return [_row(tree, policy, int(action)) for action in np.flatnonzero(legal)]


def _row(tree: SearchTree | None, policy: np.ndarray, action: int) -> _Row:
    if tree is None:
        return _Row(action, 0.0, float(policy[action]), 0, float("nan"))
    return _Row(
        action,
        float(tree.priors[0, action]),
        float(policy[action]),
        int(tree.child_visits[0, action]),
        float(tree.qvalues[0, action]),
    )


def _most_searched(rows: list[_Row], chosen: int) -> list[_Row]:
    order = sorted(rows, key=lambda row: (row.action != chosen, -row.policy, -row.visits))
    return order[:MAX_ROWS]


def _draw_heading(draw: ImageDraw.ImageDraw, has_tree: bool) -> None:
    font = _font(14)
    draw.text((_LEFT, _TABLE_TOP), "action", FAINT, font)
    draw.text((_BARS[0], _TABLE_TOP), "search policy", POLICY, font)
    labels = ["policy"]
    if has_tree:
        draw.text((_BARS[0] + 110, _TABLE_TOP), "prior", PRIOR, font)
        labels += ["visits", "Q"]
    for x, label in zip(_COLUMNS, labels, strict=False):
        draw.text((x, _TABLE_TOP), label, FAINT, font, anchor="ra")


def _paste_frame(image: Image.Image, frame: np.ndarray) -> None:
    """Fits the frame into its box; small ones are enlarged without blur."""
    left, top, right, bottom = _FRAME
    height, width = frame.shape[:2]
    scale = min((right - left) / width, (bottom - top) / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resample = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    picture = Image.fromarray(np.ascontiguousarray(frame)).resize(size, resample)
    corner = (left + (right - left - size[0]) // 2, top + (bottom - top - size[1]) // 2)
    image.paste(picture, corner)


def _shorten(text: str, width: float, font: ImageFont.FreeTypeFont) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def _signed(number: float) -> str:
    return "0" if number == 0 else f"{number:+.4g}"


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)  # type: ignore[return-value]
