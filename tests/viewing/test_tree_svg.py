"""The drawing of a tree, parsed and compared with mctx's arrays."""

import functools
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from mukoe.networks.action_space import BoxSpace
from mukoe.search.candidates import CandidateSampler, with_candidates
from mukoe.search.plan import plan
from mukoe.viewing.episodes import EpisodeStep
from mukoe.viewing.inspected_agent import Decision, format_action
from mukoe.viewing.panel import Panel
from mukoe.viewing.search_tree import from_mctx
from mukoe.viewing.style import HEIGHT, WIDTH
from mukoe.viewing.tree_svg import draw_tree
from tests.search.problems import KEY
from tests.search.test_candidates import GAUSSIAN, bandit, config, hill
from tests.viewing.test_panel import FRAME
from tests.viewing.test_search_tree import search_mdp

NAMES = ["<left>", "up & on", "right"]


def draw(max_nodes):
    _, output, tree = search_mdp()
    decision = Decision(int(output.action[0]), 0.0, None, from_mctx(tree))
    svg = draw_tree(decision, NAMES, 'a "title" & more', max_nodes)
    return tree, decision, ElementTree.fromstring(svg)


def groups(root, kind):
    elements = root.iter("{http://www.w3.org/2000/svg}g")
    return [e for e in elements if kind in e.get("class", "").split()]


@pytest.mark.parametrize("max_nodes, expected", [(60, 41), (12, 12), (1, 1)])
def test_nodes_visits_and_edges(max_nodes, expected):
    tree, _, root = draw(max_nodes)
    nodes, edges = groups(root, "node"), groups(root, "edge")
    assert len(nodes) == expected and len(edges) == expected - 1
    for node in nodes:
        index = int(node.get("data-node"))
        assert int(node.get("data-visits")) == int(tree.node_visits[0, index])
        np.testing.assert_allclose(
            float(node.get("data-value")), tree.node_values[0, index], rtol=1e-4, atol=1e-6
        )
    for edge in edges:
        action = int(tree.action_from_parent[0, int(edge.get("data-child"))])
        assert edge.get("data-action") == NAMES[action]
    assert (f"{41 - expected} left out" in "".join(root.itertext())) == (expected < 41)


def test_the_expected_line_is_marked():
    _, decision, root = draw(60)
    marked = {
        int(node.get("data-node"))
        for node in groups(root, "node")
        if "principal" in node.get("class").split()
    }
    assert marked == {0, *decision.tree.principal_nodes(decision.action)}


def test_nothing_overlaps_or_leaves_the_picture():
    _, _, root = draw(60)
    width, height = float(root.get("width")), float(root.get("height"))
    boxes = []
    for node in groups(root, "node"):
        rectangle = node.find("{http://www.w3.org/2000/svg}rect")
        x, y, w, h = (float(rectangle.get(k)) for k in ("x", "y", "width", "height"))
        assert x >= 0 and x + w <= width and y >= 80 and y + h <= height
        boxes.append((x, y, w, h))
    for i, (x0, y0, w, h) in enumerate(boxes):
        for x1, y1, _, _ in boxes[:i]:
            assert abs(x0 - x1) >= w or abs(y0 - y1) >= h


def test_candidates_are_drawn_as_their_actions():
    space, settings = BoxSpace(2, GAUSSIAN), config("gumbel", 4, 12)
    model = with_candidates(bandit(hill, 4), CandidateSampler(space, settings))
    root = mctx.RootFnOutput(
        prior_logits=jnp.zeros((1, 4)), value=jnp.zeros(1), embedding=jnp.zeros(1)
    )
    output, tree = jax.jit(functools.partial(plan, settings, model, ()))(KEY, root, None, 0)
    action = np.asarray(output.action[0])
    decision = Decision(action, 0.0, np.asarray(output.search_policy[0]), from_mctx(tree))
    np.testing.assert_array_equal(output.candidates[0, decision.chosen_index], action)
    np.testing.assert_array_equal(decision.line[0], action)
    edges = groups(ElementTree.fromstring(draw_tree(decision, [], "title")), "edge")
    below = {edge.get("data-action") for edge in edges}
    assert {format_action(each, []) for each in np.asarray(output.candidates[0])} <= below
    picture = Panel([], "title").draw(EpisodeStep(0, 0, decision, 0.0, 0.0, 1), FRAME)
    assert picture.shape == (HEIGHT, WIDTH, 3)
