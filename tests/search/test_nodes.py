"""The tree below a node, against a tree of Python objects and against shorter searches."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from mukoe.nests import take
from mukoe.search.nodes import NONE, Nodes, nodes_of, subtree
from mukoe.search.tree_search import search
from tests.search.test_tree_search import random_model, random_problem, selection

ACTIONS, NUM_NODES = 3, 40


@dataclasses.dataclass
class Node:
    """Node of a tree of Python objects, in the order of `born`."""

    born: int
    raw: float
    reward: float = 0.0
    discount: float = 0.0
    own: int = 1
    children: dict = dataclasses.field(default_factory=dict)

    def all(self):
        nodes = [self]
        for child in self.children.values():
            nodes += child.all()
        return sorted(nodes, key=lambda node: node.born)

    def until(self, last):
        """Returns a copy with the nodes that were born up to `last`."""
        children = {a: c.until(last) for a, c in self.children.items() if c.born <= last}
        return dataclasses.replace(self, children=children)

    @property
    def visits(self):
        return self.own + sum(child.visits for child in self.children.values())

    @property
    def value(self):
        total = self.own * self.raw
        for child in self.children.values():
            total += child.visits * (child.reward + child.discount * child.value)
        return total / self.visits


def random_tree(seed, size):
    """Returns the root of a tree of `size` nodes, some of them evaluated twice."""
    random = np.random.default_rng(seed)
    nodes = [Node(0, random.normal())]
    while len(nodes) < size:
        parent, action = nodes[random.integers(len(nodes))], int(random.integers(ACTIONS))
        if action not in parent.children:
            child = Node(len(nodes), *random.normal(size=3), own=1 + (len(nodes) % 7 == 0))
            parent.children[action] = child
            nodes.append(child)
    return nodes[0]


def as_nodes(roots):
    """Returns trees as arrays; those of unused nodes are 0 or `NONE`."""
    shape = len(roots), NUM_NODES
    numbers, priors = np.zeros((*shape, 5), np.float32), np.zeros((*shape, ACTIONS), np.float32)
    children = np.full((*shape, ACTIONS), NONE, np.int32)
    links = np.full((*shape, 3), NONE, np.int32)
    links[..., 2] = 0
    embeddings = np.zeros((*shape, 2), np.uint8)
    for b, root in enumerate(roots):
        order = {node.born: index for index, node in enumerate(root.all())}
        for index, node in enumerate(root.all()):
            numbers[b, index] = node.visits, node.value, node.raw, node.reward, node.discount
            priors[b, index] = np.arange(ACTIONS) + node.born
            embeddings[b, index] = node.born, b
            for action, child in node.children.items():
                children[b, index, action] = order[child.born]
                links[b, order[child.born]] = index, action, links[b, index, 2] + 1
        numbers[b, 0, 3:] = 0
    return Nodes(numbers, priors, children, links, embeddings)


def assert_same(found, expected):
    for name in ("children", "links", "embeddings"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
    np.testing.assert_allclose(found.numbers, expected.numbers, atol=1e-5)
    np.testing.assert_allclose(found.prior_logits, expected.prior_logits)


def test_the_tree_below_a_node():
    trees = [random_tree(seed, size) for seed, size in enumerate((40, 31, 17, 1))]
    largest = [max(root.children.values(), key=lambda c: c.visits) for root in trees[:2]]
    chosen = [largest[0], largest[1].all()[1], trees[2], None]
    root = jnp.array([NONE if node is None else node.born for node in chosen])
    below = jax.jit(subtree, static_argnums=2)(as_nodes(trees), root, NUM_NODES)
    empty = Nodes(*(np.zeros_like(x) for x in as_nodes(trees[:1])[:-1]))
    empty = empty._replace(children=empty.children + NONE, links=as_nodes([Node(0, 0.0)]).links)
    assert len(chosen[0].all()) > 5
    for b, node in enumerate(chosen):
        expected = empty
        if node is not None:
            expected = as_nodes([node])
            expected.embeddings[0, : len(node.all()), 1] = b
        assert_same(take(below, slice(b, b + 1)), expected)


def test_of_a_large_tree_the_first_nodes_stay():
    trees = [random_tree(seed, NUM_NODES) for seed in range(4)]
    nodes = [max(root.children.values(), key=lambda c: c.visits) for root in trees]
    root, limit = jnp.array([node.born for node in nodes]), 6
    below = subtree(as_nodes(trees), root, limit)
    for b, node in enumerate(nodes):
        assert len(node.all()) > limit
        expected = as_nodes([node.until(node.all()[limit - 1].born)])
        expected.embeddings[0, :limit, 1] = b
        assert_same(take(below, slice(b, b + 1)), expected)


def test_nodes_of_a_tree_have_its_numbers():
    simulations, model = 24, random_model(0)
    key, observation, legal = random_problem(3)
    run = functools.partial(
        search,
        None,
        recurrent_fn=model.recurrent,
        num_simulations=simulations,
        **selection("muzero", simulations),
    )
    root = model.root(None, observation)
    tree = jax.jit(lambda: run(key, root=root, invalid_actions=1.0 - legal))()
    nodes = nodes_of(tree)
    np.testing.assert_array_equal(nodes.visits, tree.node_visits)
    np.testing.assert_array_equal(nodes.children, tree.children_index)
    batch, size = tree.node_visits.shape
    for b in range(batch):
        for n in range(1, size):
            parent, action, level = np.asarray(nodes.links)[b, n]
            assert tree.children_index[b, parent, action] == n
            assert level == nodes.links[b, parent, 2] + 1
            np.testing.assert_allclose(
                nodes.numbers[b, n],
                [
                    tree.children_visits[b, parent, action],
                    tree.children_values[b, parent, action],
                    tree.raw_values[b, n],
                    tree.children_rewards[b, parent, action],
                    tree.children_discounts[b, parent, action],
                ],
            )
