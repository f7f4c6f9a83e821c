"""Picture of the candidates of a decision, for actions of one or two dimensions."""

from collections.abc import Callable

import numpy as np
from PIL import ImageDraw

from mukoe.viewing.inspected_agent import Decision
from mukoe.viewing.numbers import format_number
from mukoe.viewing.style import CHOSEN, FAINT, LEFT, POLICY, PRIOR, RAISED, RIGHT, load_font

MAP_HEIGHT = 200
"""Height of a picture in pixels."""

_GREATEST_RADIUS = 22.0
_LEAST_RADIUS = 4.0
_PADDING = 28
_DIMENSIONS = 2

Scale = Callable[[np.ndarray], np.ndarray]


def has_map(decision: Decision) -> bool:
    """Returns whether a decision has candidates of one or two dimensions."""
    candidates = None if decision.tree is None else decision.tree.candidates
    return candidates is not None and candidates.ndim == 3 and candidates.shape[2] <= _DIMENSIONS


def draw_candidate_map(draw: ImageDraw.ImageDraw, decision: Decision, top: float) -> None:
    """Draws each candidate of the root as a disc whose area is its improved policy.

    With one dimension the axes are action and Q-value; with two they are the entries of the action,
    and brighter discs have higher Q-values. Candidates without visits are rings.

    Args:
      draw: picture to draw on.
      decision: decision of `has_map`.
      top: upper edge of the picture in pixels.
    """
    tree, policy = decision.tree, decision.policy
    assert tree is not None and tree.candidates is not None and policy is not None
    shown = np.flatnonzero(tree.legal_actions)
    actions, qvalues = tree.candidates[0, shown], decision.qvalues[shown]
    is_flat = actions.shape[1] == 1
    width = RIGHT - LEFT if is_flat else 2 * MAP_HEIGHT
    box = (LEFT, top, LEFT + width, top + MAP_HEIGHT)
    draw.rounded_rectangle(box, 6, RAISED)
    worth = _scale(qvalues, 0.0, 1.0)(qvalues)
    xs = _scale(_with_bounds(actions[:, 0]), box[0] + _PADDING, box[2] - _PADDING)
    ys = _scale(
        qvalues if is_flat else _with_bounds(actions[:, 1]), box[3] - _PADDING, box[1] + _PADDING
    )
    places = np.stack([xs(actions[:, 0]), ys(qvalues if is_flat else actions[:, 1])], axis=-1)
    greatest = max(float(policy.max()), 1e-9)
    # Large discs first, so that none is hidden; the chosen one last.
    order = sorted(
        range(len(shown)), key=lambda i: (shown[i] == decision.chosen_index, -policy[shown[i]])
    )
    for i in order:
        radius = max(_LEAST_RADIUS, _GREATEST_RADIUS * np.sqrt(policy[shown[i]] / greatest))
        colour = CHOSEN if shown[i] == decision.chosen_index else _shade(worth[i])
        x, y = places[i]
        circle = (x - radius, y - radius, x + radius, y + radius)
        if tree.child_visits[0, shown[i]]:
            draw.ellipse(circle, colour, RAISED)
        else:
            draw.ellipse(circle, None, colour, 2)
    _draw_labels(draw, box, actions, qvalues)


def _draw_labels(
    draw: ImageDraw.ImageDraw,
    box: tuple[float, float, float, float],
    actions: np.ndarray,
    qvalues: np.ndarray,
) -> None:
    """Writes the ranges of the axes, and the legend of a picture of two dimensions."""
    left, top, right, bottom = box
    font = load_font(14)
    low, high = _range(_with_bounds(actions[:, 0]))
    draw.text((left + 8, bottom - 20), f"{low:.3g}", FAINT, font)
    draw.text((right - 8, bottom - 20), f"{high:.3g}", FAINT, font, anchor="ra")
    draw.text(((left + right) / 2, bottom - 20), "action", FAINT, font, anchor="ma")
    best, worst = format_number(np.max(qvalues)), format_number(np.min(qvalues))
    if actions.shape[1] == 1:
        draw.text((left + 8, top + 4), f"Q {best}", FAINT, font)
        draw.text((left + 8, bottom - 38), f"Q {worst}", FAINT, font)
        return
    low, high = _range(_with_bounds(actions[:, 1]))
    draw.text((left + 8, top + 4), f"{high:.3g}", FAINT, font)
    draw.text((left + 8, bottom - 38), f"{low:.3g}", FAINT, font)
    x = right + 20
    draw.text((x, top + 8), "area: improved policy", FAINT, font)
    draw.text((x, top + 34), f"Q {best}", _shade(1.0), font)
    draw.text((x, top + 56), f"Q {worst}", _shade(0.0), font)
    draw.text((x, top + 82), "chosen", CHOSEN, font)
    draw.text((x, top + 108), "ring: no visits", FAINT, font)


def _with_bounds(entries: np.ndarray) -> np.ndarray:
    """Adds the bounds of continuous actions, so that the axes of most decisions are equal."""
    return np.concatenate([entries, [-1.0, 1.0]])


def _range(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _scale(values: np.ndarray, start: float, end: float) -> Scale:
    """Returns the linear map of the range of values to `start .. end`; equal ones to its middle."""
    low, high = _range(values)
    if high - low < 1e-9:
        return lambda x: np.full(np.shape(x), (start + end) / 2)
    return lambda x: start + (x - low) / (high - low) * (end - start)


def _shade(worth: float) -> tuple[int, int, int]:
    """Returns a colour between those of prior and policy, for a worth from 0 to 1."""
    mixed = (1 - worth) * np.array(PRIOR) + worth * np.array(POLICY)
    return tuple(int(channel) for channel in mixed)  # type: ignore[return-value]
