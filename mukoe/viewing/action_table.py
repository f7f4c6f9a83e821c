"""Table of the actions of a decision, with bars of policy and prior."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import ImageDraw

from mukoe.viewing.candidate_map import MAP_HEIGHT, draw_candidate_map, has_map
from mukoe.viewing.inspected_agent import Decision, edge_name
from mukoe.viewing.numbers import format_number
from mukoe.viewing.style import (
    CHOSEN,
    FAINT,
    LEFT,
    LINE_TOP,
    POLICY,
    PRIOR,
    RIGHT,
    TABLE_TOP,
    TEXT,
    load_font,
    shorten,
)

MAX_ROWS = 18
"""Maximum number of actions in the table; the most probable ones of the search policy."""

_ROWS_BELOW_MAP = 7
_NAME_WIDTH = 158
BARS = (LEFT + _NAME_WIDTH, RIGHT - 250)
"""Left and right end of the longest bar in pixels."""

_COLUMNS = tuple(RIGHT - offset for offset in (172, 104, 4))
"""Right ends of the columns of policy, visit count and Q-value in pixels."""


class _Row(NamedTuple):
    """Statistics of an action; the Q-value is NaN if it is not available."""

    action: int
    prior: float
    policy: float
    visits: int
    qvalue: float

    @property
    def texts(self) -> tuple[str, str, str]:
        """Policy, visit count and Q-value as text; completed Q-values are in parentheses."""
        qvalue = "-" if np.isnan(self.qvalue) else format_number(self.qvalue)
        if self.completed:
            qvalue = f"({qvalue})"
        return f"{self.policy:.1%}", str(self.visits), qvalue

    @property
    def completed(self) -> bool:
        """True if the Q-value is a completed one."""
        return self.visits == 0 and not np.isnan(self.qvalue)


def draw_action_table(draw: ImageDraw.ImageDraw, decision: Decision, names: Sequence[str]) -> None:
    """Draws the legal actions with policy, prior, visit count and Q-value.

    Candidates of one or two dimensions are drawn above, and the table has fewer of them.
    """
    rows = _rows(decision)
    if not rows:
        return
    top, limit = TABLE_TOP, MAX_ROWS
    if has_map(decision):
        draw_candidate_map(draw, decision, top)
        top, limit = top + MAP_HEIGHT + 10, _ROWS_BELOW_MAP
    shown = sorted(_most_searched(rows, decision.chosen_index, limit), key=lambda row: row.action)
    _draw_heading(draw, top, has_tree=decision.tree is not None)
    top += 24
    pitch = min(34.0, (LINE_TOP - 24 - top) / len(shown))
    scale = max(1e-9, max(max(row.policy, row.prior) for row in shown))
    for index, row in enumerate(shown):
        name = edge_name(decision.tree, 0, row.action, names)
        _draw_row(draw, row, name, top + index * pitch, pitch, scale, decision)
    notes = []
    if len(shown) < len(rows):
        notes.append(f"and {len(rows) - len(shown)} more legal actions")
    if any(row.completed for row in shown):
        notes.append("(Q): completed value of an action without visits")
    draw.text((LEFT, LINE_TOP - 24), "; ".join(notes), FAINT, load_font(14))


def _draw_row(
    draw: ImageDraw.ImageDraw,
    row: _Row,
    name: str,
    top: float,
    pitch: float,
    scale: float,
    decision: Decision,
) -> None:
    chosen = row.action == decision.chosen_index
    colour = CHOSEN if chosen else TEXT
    middle = top + pitch / 2
    font = load_font(int(min(17, pitch - 4)))
    name = shorten(name, _NAME_WIDTH - 10, font)
    draw.text((LEFT, middle), name, colour, font, anchor="lm")
    left, right = BARS
    thick = max(3.0, pitch * 0.34)
    policy_end = left + (right - left) * row.policy / scale
    draw.rectangle((left, middle - thick, policy_end, middle - 1), CHOSEN if chosen else POLICY)
    if decision.tree is not None:
        end = left + (right - left) * row.prior / scale
        draw.rectangle((left, middle + 1, end, middle + thick * 0.75), PRIOR)
    texts = row.texts[: 1 if decision.tree is None else 3]
    for x, text in zip(_COLUMNS, texts, strict=False):
        draw.text((x, middle), text, colour, font, anchor="rm")


def _rows(decision: Decision) -> list[_Row]:
    """Returns the legal actions of a decision."""
    tree, policy = decision.tree, decision.policy
    if policy is None:
        return []
    if tree is None:
        nan = float("nan")
        legal = np.flatnonzero(policy > 0)
        return [_Row(int(action), 0.0, float(policy[action]), 0, nan) for action in legal]
    qvalues = decision.qvalues
    return [
        _Row(
            int(action),
            float(tree.priors[0, action]),
            float(policy[action]),
            int(tree.child_visits[0, action]),
            float(qvalues[action]),
        )
        for action in np.flatnonzero(tree.legal_actions)
    ]


def _most_searched(rows: list[_Row], chosen: int, limit: int = MAX_ROWS) -> list[_Row]:
    order = sorted(rows, key=lambda row: (row.action != chosen, -row.policy, -row.visits))
    return order[:limit]


def _draw_heading(draw: ImageDraw.ImageDraw, top: float, has_tree: bool) -> None:
    font = load_font(14)
    draw.text((LEFT, top), "action", FAINT, font)
    draw.text((BARS[0], top), "search policy", POLICY, font)
    labels = ["policy"]
    if has_tree:
        draw.text((BARS[0] + 110, top), "prior", PRIOR, font)
        labels += ["visits", "Q"]
    for x, label in zip(_COLUMNS, labels, strict=False):
        draw.text((x, top), label, FAINT, font, anchor="ra")
