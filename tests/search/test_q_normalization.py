"""Normalised Q-values against NumPy, on random trees of both search implementations."""

import functools

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from mukoe.errors import UserError
from mukoe.search import tree_search
from mukoe.search.base import SearchModel
from mukoe.search.config import SearchConfig
from mukoe.search.plan import plan
from mukoe.search.q_normalization import (
    QNormalizationConfig,
    normalized_qvalues,
    scaled_completed_qvalues,
)
from mukoe.search.root import mask_logits
from mukoe.search.stochastic import stochastic_search_model
from tests.search.problems import KEY, bandit_model, jitted, jitted_tree
from tests.search.stochastic_problems import NUM_STATES, Process
from tests.search.test_tree_search import ACTIONS, EXACT, random_model, random_problem

SIMULATIONS = 20
CONFIGS = [
    QNormalizationConfig(),
    QNormalizationConfig(scope="tree", floor=0.5),
    QNormalizationConfig(scope="known", known_range=(-3.0, 3.0)),
    QNormalizationConfig(scope="node", unvisited="parent", value_scale=1.0, maxvisit_init=10.0),
    QNormalizationConfig(scope="tree", floor=0.5, unvisited="parent", value_scale=0.3),
]
MORE_CONFIGS = [
    QNormalizationConfig(scope="node", floor=0.5),
    QNormalizationConfig(scope="tree"),
    QNormalizationConfig(scope="tree", floor=50.0),
]
CASES = CONFIGS + [pytest.param(config, marks=pytest.mark.slow) for config in MORE_CONFIGS]


def qvalues_by_loops(tree, b, node):
    """Returns Q-values and visits of a node as lists, unvisited actions with None."""
    qvalues = []
    for a in range(ACTIONS):
        if tree.children_visits[b, node, a] == 0:
            qvalues.append(None)
        else:
            reward, discount = (
                tree.children_rewards[b, node, a],
                tree.children_discounts[b, node, a],
            )
            qvalues.append(
                float(reward) + float(discount) * float(tree.children_values[b, node, a])
            )
    return qvalues


def tree_extremes(tree, b):
    """Returns the extremes of all Q-values in the tree (MuZero, appendix B, equation 5)."""
    found = []
    for node in range(tree.parents.shape[1]):
        found += [q for q in qvalues_by_loops(tree, b, node) if q is not None]
    return min(found), max(found)


def puct_oracle(tree, b, node, config):
    qvalues = qvalues_by_loops(tree, b, node)
    visited = [q for q in qvalues if q is not None]
    value = float(tree.node_values[b, node])
    if config.scope == "tree":
        low, high = tree_extremes(tree, b)
    elif config.scope == "known":
        low, high = config.known_range
    else:
        low, high = min([value, *visited]), max([value, *visited])
    span = max(high - low, config.floor)
    unvisited = low if config.unvisited == "lowest" else value
    completed = [unvisited if q is None else q for q in qvalues]
    return np.clip([(q - low) / span for q in completed], 0.0, 1.0)


def gumbel_oracle(tree, b, node, config):
    qvalues = qvalues_by_loops(tree, b, node)
    visits = np.asarray(tree.children_visits)[b, node]
    logits = np.asarray(tree.children_prior_logits, np.float64)[b, node]
    prior = np.exp(logits - logits.max())
    prior /= prior.sum()
    # Appendix D: the value of the network, and the Q-values weighted by the prior.
    share = sum(p for p, q in zip(prior, qvalues, strict=True) if q is not None)
    mixed = float(tree.raw_values[b, node])
    if share > 0:
        weighted = sum(p * q for p, q in zip(prior, qvalues, strict=True) if q is not None) / share
        mixed = (mixed + visits.sum() * weighted) / (1 + visits.sum())
    completed = np.array([mixed if q is None else q for q in qvalues])
    if config.scope == "tree":
        low, high = tree_extremes(tree, b)
    elif config.scope == "known":
        low, high = config.known_range
    else:
        low, high = completed.min(), completed.max()
    rescaled = np.clip((completed - low) / max(high - low, config.floor), 0.0, 1.0)
    return (config.maxvisit_init + visits.max()) * config.value_scale * rescaled


@functools.cache
def random_trees(algorithm, batch, scope):
    key, observation, legal = random_problem(3)
    config = QNormalizationConfig(scope=scope)
    search = jitted_tree(
        random_model(3),
        algorithm=algorithm,
        num_simulations=SIMULATIONS,
        q_normalization=config,
    )
    _, tree = search(None, key, observation[:batch], legal[:batch], 0)
    return tree


@pytest.mark.parametrize("config", CASES, ids=str)
@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize("algorithm", ["muzero", "gumbel"])
def test_qvalues_of_every_node_are_those_of_numpy(config, batch, algorithm):
    tree = random_trees(algorithm, batch, config.scope)
    transform, oracle = {
        "muzero": (normalized_qvalues, puct_oracle),
        "gumbel": (scaled_completed_qvalues, gumbel_oracle),
    }[algorithm]
    of_nodes = jax.vmap(functools.partial(transform, config=config), (None, 0))
    nodes = jnp.arange(SIMULATIONS + 1)
    found = np.asarray(jax.jit(jax.vmap(of_nodes, (0, None)))(tree, nodes))
    tree = jax.tree.map(np.asarray, tree)
    assert np.all(tree.node_visits > 0)
    for b in range(batch):
        for node in range(SIMULATIONS + 1):
            expected = oracle(tree, b, node, config)
            np.testing.assert_allclose(found[b, node], expected, rtol=1e-3, atol=2e-4)


@functools.cache
def noiseless_model():
    """Returns a model and its compiled step."""
    model = random_model(5, noise=0.0)
    return model, jax.jit(model.recurrent)


def muzero_by_loops(observation, legal, config, simulations):
    """Returns the visits `[A]` of the root of a search without noise, written with lists."""
    model, recurrent = noiseless_model()
    root = model.root(None, observation[None])
    nodes = [Node(root.prior_logits, root.value, root.embedding)]
    for _ in range(simulations):
        path = [(nodes[0], None)]
        while path[-1][0] is not None:
            node = path[-1][0]
            edges = [edge for other in nodes for edge in other.edges if edge.child is not None]
            qvalues = [edge.qvalue for edge in node.edges if edge.child is not None]
            if config.scope == "tree":
                qvalues = [edge.qvalue for edge in edges]
            elif config.scope == "known":
                qvalues = config.known_range
            else:
                qvalues.append(node.mean)
            low, high = min(qvalues, default=np.inf), max(qvalues, default=-np.inf)
            unvisited = low if config.unvisited == "lowest" else node.mean
            scores = []
            for a, edge in enumerate(node.edges):
                score = node.prior[a] * np.sqrt(node.visits) / (1 + edge.visits)
                score *= 1.25 + np.log((node.visits + 19653) / 19652)
                value = unvisited if edge.child is None else edge.qvalue
                if high >= low:
                    score += np.clip((value - low) / max(high - low, config.floor), 0.0, 1.0)
                scores.append(score if node is not nodes[0] or legal[a] else -np.inf)
            edge = node.edges[int(np.argmax(scores))]
            path[-1] = (node, edge)
            path.append((edge.child, None))
        action = path[-2][0].edges.index(path[-2][1])
        embedding = path[-2][0].embedding
        step, embedding = recurrent(None, KEY, jnp.array([action]), embedding)
        edge.child = Node(step.prior_logits, step.value, embedding)
        edge.reward, edge.discount = float(step.reward[0]), float(step.discount[0])
        nodes.append(edge.child)
        value = edge.child.mean
        for node, edge in reversed(path[:-1]):
            value = edge.reward + edge.discount * value
            node.mean = (node.mean * node.visits + value) / (node.visits + 1)
            node.visits += 1
    return [edge.visits for edge in nodes[0].edges]


class Node:
    """A node with its edges, each of which has a child once it is visited."""

    def __init__(self, logits, value, embedding):
        self.prior = np.asarray(jax.nn.softmax(logits))[0]
        self.visits, self.mean, self.embedding = 1, float(value[0]), embedding
        self.edges = [Edge() for _ in self.prior]


class Edge:
    child, reward, discount = None, 0.0, 0.0

    @property
    def visits(self):
        return 0 if self.child is None else self.child.visits

    @property
    def qvalue(self):
        return self.reward + self.discount * self.child.mean


@pytest.mark.parametrize("config", CASES, ids=str)
@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_visits_of_a_search_are_those_of_numpy(config, batch):
    _, observation, legal = random_problem(5)
    search = jitted_tree(
        noiseless_model()[0],
        evaluation=True,
        num_simulations=SIMULATIONS,
        q_normalization=config,
    )
    _, tree = search(None, None, observation[:batch], legal[:batch], 0)
    for b in range(batch):
        expected = muzero_by_loops(observation[b], legal[b], config, SIMULATIONS)
        np.testing.assert_array_equal(tree.children_visits[b, 0], expected)


@pytest.mark.parametrize("algorithm", ["muzero", "gumbel"])
@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_own_tree_and_mctx_agree_on_the_range(monkeypatch, algorithm, batch):
    """A batch of one is searched by mctx, whose selection sees the whole tree."""
    _, observation, legal = random_problem(4)
    settings = {
        "algorithm": algorithm,
        "num_simulations": SIMULATIONS,
        "max_depth": 4,
        "q_normalization": QNormalizationConfig(scope="tree", floor=0.1),
    }
    model = random_model(4)
    inputs = (None, None, observation[:batch], legal[:batch], 0)
    whole = jitted_tree(model._replace(search=mctx.search), evaluation=True, **settings)
    expected_output, expected = whole(*inputs)
    monkeypatch.setattr(tree_search, "_MANY_SIMULATIONS", 0)
    output, tree = jitted_tree(model, evaluation=True, **settings)(*inputs)
    for name in EXACT:
        np.testing.assert_array_equal(getattr(tree, name), getattr(expected, name), name)
    np.testing.assert_allclose(output.search_policy, expected_output.search_policy, atol=1e-4)
    np.testing.assert_array_equal(output.action, expected_output.action)


@pytest.mark.parametrize("algorithm", ["muzero", pytest.param("gumbel", marks=pytest.mark.slow)])
def test_chance_nodes_are_outside_of_the_range(monkeypatch, algorithm):
    """The range holds Q-values of actions; both tree searches agree, entry by entry."""
    process = Process(seed=3, horizon=4)
    model = stochastic_search_model(process.model(knows_values=True))
    settings = {
        "algorithm": algorithm,
        "num_simulations": 40,
        "q_normalization": QNormalizationConfig(scope="tree", floor=0.1),
    }
    search = functools.partial(jitted_tree, model, evaluation=True, **settings)
    single = search()
    trees = [
        single(None, None, process.observations()[b : b + 1], None, 0)[1] for b in range(NUM_STATES)
    ]
    _, batched = search()(None, None, process.observations(), None, 0)
    monkeypatch.setattr(tree_search, "_MANY_SIMULATIONS", 0)
    own = search()
    for b, tree in enumerate(trees):
        observation = process.observations()[b : b + 1]
        _, other = own(None, None, observation, None, 0)
        for name in EXACT:
            np.testing.assert_array_equal(getattr(other, name), getattr(tree, name), name)
            if algorithm == "gumbel":  # PUCT breaks ties at random.
                same = getattr(batched, name)[b], getattr(tree, name)[0]
                np.testing.assert_array_equal(*same, name)


def test_a_floor_keeps_noise_small():
    """Q-values that are equal up to noise leave the prior nearly as it is."""
    model = bandit_model([0.0, 0.0, 0.0], [1e-4, 0.0, 2e-4])
    policies = {}
    for floor in (1e-8, 0.05):
        search = jitted(
            model,
            evaluation=True,
            algorithm="gumbel",
            num_simulations=6,
            q_normalization=QNormalizationConfig(scope="tree", floor=floor),
        )
        policies[floor] = np.asarray(search(None, None, jnp.zeros(2), None, 0).search_policy[0])
    assert policies[1e-8].max() > 0.9
    np.testing.assert_allclose(policies[0.05], 1 / 3, atol=0.01)


def test_a_known_range_that_descends_is_refused():
    with pytest.raises(UserError, match="known_range must ascend, unlike \\(1, -1\\)"):
        QNormalizationConfig(scope="known", known_range=(1.0, -1.0))


@pytest.mark.parametrize("scope", ["node", "tree", "known"])
@pytest.mark.parametrize("unvisited", ["lowest", "parent"])
def test_illegal_actions_are_never_searched(unvisited, scope):
    """Legal steps are worth less than the network says: the parent has the highest value."""
    legal = jnp.array([[True, False, False, False]])

    def recurrent(params, key, action, embedding):
        del params, key
        return (
            mctx.RecurrentFnOutput(
                reward=jnp.where(action == 0, -1.0, -5.0),
                discount=jnp.where(action == 0, 1.0, 0.0),
                prior_logits=mask_logits(jnp.zeros((1, 4)), legal),
                value=jnp.zeros(1),
            ),
            embedding,
        )

    normalization = QNormalizationConfig(
        scope=scope, unvisited=unvisited, known_range=(-16.0, 1.0), floor=0.05
    )
    config = SearchConfig(algorithm="muzero", num_simulations=16, q_normalization=normalization)
    logits, zero = jnp.zeros((1, 4)), jnp.zeros(1)
    root = mctx.RootFnOutput(prior_logits=logits, value=zero, embedding=zero)
    model, key = SearchModel(lambda params, observation: None, recurrent), jax.random.PRNGKey(0)
    _, tree = plan(config, model, {}, key, root, legal, 0, evaluation=True)
    taken = np.asarray(tree.action_from_parent)[0]
    assert (taken == 0).sum() == 16 and (taken > 0).sum() == 0
