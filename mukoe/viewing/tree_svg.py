"""Search trees as SVG."""

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from mukoe.viewing.inspected_agent import Decision, edge_name
from mukoe.viewing.numbers import format_number
from mukoe.viewing.search_tree import SearchTree

_NODE_WIDTH, _NODE_HEIGHT = 92, 34
_COLUMN, _ROW = 236, 46
_MARGIN, _HEADER = 24, 84

_STYLE = """
  text { font-family: 'DejaVu Sans', Verdana, sans-serif; font-size: 12px; fill: #1d2733; }
  .title { font-size: 18px; font-weight: bold; }
  .note { fill: #5c6875; }
  .node rect { stroke: #8593a3; }
  .node text { text-anchor: middle; }
  .visits { fill: #5c6875; font-size: 11px; }
  .edge path { fill: none; stroke: #aab4c0; }
  .edge text { font-size: 11px; }
  .principal rect { stroke: #d97706; stroke-width: 2.5; }
  .principal path { stroke: #d97706; }
  .principal text.action { fill: #b45309; font-weight: bold; }
"""


class _Place(NamedTuple):
    x: float
    y: float


def draw_tree(decision: Decision, names: Sequence[str], title: str, max_nodes: int = 60) -> str:
    """Returns the SVG of a search tree with its root at the left.

    Each node is a group of class `node` with `data-node` and `data-visits`, each edge a group of
    class `edge`. Those of the principal variation also have the class `principal`.

    Args:
      decision: decision with a search tree.
      names: names of the actions.
      title: title of the drawing.
      max_nodes: maximum number of nodes; the most visited ones are drawn.
    """
    tree = decision.tree
    assert tree is not None, "a decision without a search has no tree to draw"
    nodes = tree.most_visited(max_nodes)
    places = _layout(tree, nodes)
    principal = {0, *tree.principal_nodes(decision.chosen_index)}
    width = max(760, max(p.x for p in places.values()) + _NODE_WIDTH + _MARGIN)
    height = max(p.y for p in places.values()) + _NODE_HEIGHT + _MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}">',
        f"<style>{_STYLE}</style>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *_heading(tree, len(nodes), decision, names, title),
    ]
    for node in nodes[1:]:
        lines += _edge(tree, node, places, names, node in principal)
    for node in nodes:
        lines += _node(tree, node, places[node], node in principal)
    return "\n".join([*lines, "</svg>", ""])


def _heading(
    tree: SearchTree, shown: int, decision: Decision, names: Sequence[str], title: str
) -> list[str]:
    used = int(np.count_nonzero(tree.visits))
    left_out = f"the {shown} most visited of {used} nodes; {used - shown} left out"
    note = f"{used} nodes" if shown == used else left_out
    line = decision.format_line(names)
    whose = "; values are those of the player to move there" if tree.two_players else ""
    texts = (
        ("title", title),
        ("note", f"{tree.num_simulations} simulations; {note}; expected line: {line}"),
        (
            "note",
            "nodes: value v, visits n; edges: action, prior p, reward r" + whose,
        ),
    )
    return [
        f'<text class="{kind}" x="{_MARGIN}" y="{_MARGIN + 14 + 20 * row}">{escape(text)}</text>'
        for row, (kind, text) in enumerate(texts)
    ]


def _layout(tree: SearchTree, nodes: Sequence[int]) -> dict[int, _Place]:
    """Places leaves on separate rows and parents at the centre of their children."""
    children: dict[int, list[int]] = {node: [] for node in nodes}
    for node in nodes[1:]:
        children[int(tree.parents[node])].append(node)
    rows: dict[int, float] = {}
    free_row = 0
    stack = [(0, False)]
    while stack:
        node, children_done = stack.pop()
        below = sorted(children[node], key=lambda child: (-tree.visits[child], child))
        if not below:
            rows[node] = free_row
            free_row += 1
        elif children_done:
            rows[node] = (rows[below[0]] + rows[below[-1]]) / 2
        else:
            stack.append((node, True))
            stack += [(child, False) for child in reversed(below)]
    depths = tree.depths
    return {
        node: _Place(_MARGIN + depths[node] * _COLUMN, _MARGIN + _HEADER + rows[node] * _ROW)
        for node in nodes
    }


def _node(tree: SearchTree, node: int, place: _Place, principal: bool) -> list[str]:
    visits, share = int(tree.visits[node]), tree.visits[node] / tree.visits[0]
    shade = round(100 - 26 * float(share) ** 0.5)
    x = place.x + _NODE_WIDTH / 2
    return [
        f'<g class="node{" principal" * principal}" data-node="{node}" data-visits="{visits}" '
        f'data-value="{tree.values[node]:.6g}">',
        f'<rect x="{place.x:.1f}" y="{place.y:.1f}" width="{_NODE_WIDTH}" '
        f'height="{_NODE_HEIGHT}" rx="7" fill="hsl(212,85%,{shade}%)"/>',
        f'<text x="{x:.1f}" y="{place.y + 15:.1f}">v {format_number(tree.values[node])}</text>',
        f'<text class="visits" x="{x:.1f}" y="{place.y + 28:.1f}">n {visits}</text>',
        "</g>",
    ]


def _edge(
    tree: SearchTree,
    node: int,
    places: dict[int, _Place],
    names: Sequence[str],
    principal: bool,
) -> list[str]:
    parent, action = int(tree.parents[node]), int(tree.actions[node])
    start, end = places[parent], places[node]
    x0, y0 = start.x + _NODE_WIDTH, start.y + _NODE_HEIGHT / 2
    x1, y1 = end.x, end.y + _NODE_HEIGHT / 2
    bend = x0 + 34
    weight = 1 + 5 * float(tree.visits[node] / tree.visits[0])
    name = edge_name(tree, parent, action, names)
    facts = f"p {tree.priors[parent, action]:.2f}, r {_number(tree.rewards[parent, action])}"
    return [
        f'<g class="edge{" principal" * principal}" data-child="{node}" '
        f"data-action={quoteattr(name)}>",
        f'<path d="M{x0:.1f},{y0:.1f} C{bend:.1f},{y0:.1f} {x0 + 8:.1f},{y1:.1f} '
        f'{bend + 8:.1f},{y1:.1f} H{x1:.1f}" stroke-width="{weight:.1f}"/>',
        f'<text class="action" x="{bend + 8:.1f}" y="{y1 - 6:.1f}">{escape(name)}</text>',
        f'<text class="note" x="{bend + 8:.1f}" y="{y1 + 14:.1f}">{facts}</text>',
        "</g>",
    ]


def _number(value: float) -> str:
    return f"{round(float(value), 2) + 0.0:g}"
