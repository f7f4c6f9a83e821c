"""The trees are those of mctx, on random models and masks."""

import functools

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pytest

from mukoe.search import stochastic, tree_search
from mukoe.search.base import SearchModel
from mukoe.search.config import SearchConfig
from mukoe.search.plan import plan
from mukoe.search.q_normalization import QNormalizationConfig
from mukoe.search.tree_search import search
from tests.search.problems import jitted_tree
from tests.search.stochastic_problems import NUM_STATES, Process

BATCH, ACTIONS, WIDTH = 5, 4, 3
EXACT = ("node_visits", "parents", "action_from_parent", "children_index", "children_visits")
CLOSE = (
    "raw_values",
    "node_values",
    "children_prior_logits",
    "children_rewards",
    "children_discounts",
    "children_values",
    "root_invalid_actions",
)


def random_model(seed, noise=0.1, num_actions=ACTIONS) -> SearchModel:
    """A linear model with noisy rewards, episode ends and passing turns."""
    random = np.random.default_rng(seed)
    move = jnp.float32(random.normal(size=(num_actions, WIDTH, WIDTH)))
    prior = jnp.float32(2 * random.normal(size=(WIDTH, num_actions)))
    weights = jnp.float32(random.normal(size=(3, WIDTH)))

    def root(params, observation):
        del params
        value = jnp.tanh(observation @ weights[0])
        return mctx.RootFnOutput(
            prior_logits=observation @ prior, value=value, embedding=observation
        )

    def recurrent(params, key, action, embedding):
        del params
        state = jnp.tanh(jnp.einsum("bi,bij->bj", embedding, move[action]))
        chance = jax.random.normal(key, action.shape)
        turn = jnp.where(state @ weights[2] > 0, 0.9, -0.9)
        output = mctx.RecurrentFnOutput(
            reward=state @ weights[1] + noise * chance,
            discount=jnp.where(jnp.abs(state[:, 0]) > 0.97, 0.0, turn),
            prior_logits=state @ prior,
            value=jnp.tanh(state @ weights[0]),
        )
        return output, state

    return SearchModel(root, recurrent)


def random_problem(seed, num_actions=ACTIONS):
    random = np.random.default_rng(100 + seed)
    observation = jnp.float32(random.normal(size=(BATCH, WIDTH)))
    legal = random.random((BATCH, num_actions)) < 0.7
    legal[:, seed % num_actions] = True
    return jax.random.PRNGKey(seed), observation, jnp.asarray(legal)


def selection(algorithm, num_simulations):
    if algorithm == "muzero":
        return {
            "root_action_selection_fn": functools.partial(mctx.muzero_action_selection, depth=0),
            "interior_action_selection_fn": mctx.muzero_action_selection,
        }
    gumbel = jax.random.gumbel(jax.random.PRNGKey(9), (BATCH, ACTIONS))
    return {
        "root_action_selection_fn": functools.partial(
            mctx.gumbel_muzero_root_action_selection,
            num_simulations=num_simulations,
            max_num_considered_actions=3,
        ),
        "interior_action_selection_fn": mctx.gumbel_muzero_interior_action_selection,
        "extra_data": mctx.GumbelMuZeroExtraData(root_gumbel=gumbel),
    }


def assert_same_trees(tree, expected):
    for name in EXACT:
        np.testing.assert_array_equal(getattr(tree, name), getattr(expected, name), name)
        assert getattr(tree, name).dtype == getattr(expected, name).dtype, name
    for name in CLOSE:
        ours, theirs = getattr(tree, name), getattr(expected, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5, err_msg=name)
        assert ours.dtype == theirs.dtype, name


@pytest.mark.parametrize("algorithm", ["muzero", "gumbel"])
def test_the_tree_is_that_of_mctx(algorithm):
    simulations, max_depth = 24, 3
    model = random_model(0)

    def run(function, key, observation, legal):
        return function(
            None,
            key,
            root=model.root(None, observation),
            recurrent_fn=model.recurrent,
            num_simulations=simulations,
            max_depth=max_depth,
            invalid_actions=1.0 - legal,
            **selection(algorithm, simulations),
        )

    ours = jax.jit(functools.partial(run, search))
    theirs = jax.jit(functools.partial(run, mctx.search))
    for seed in range(3):
        problem = random_problem(seed)
        tree, expected = ours(*problem), theirs(*problem)
        assert_same_trees(tree, expected)
        np.testing.assert_allclose(tree.embeddings, expected.embeddings, rtol=1e-4, atol=1e-5)
        # Nodes at the limit were expanded again, instead of new ones.
        assert np.sum(tree.node_visits > 0) < BATCH * (simulations + 1)


def test_a_single_simulation_without_a_mask():
    model = random_model(1)
    key, observation, _ = random_problem(1)

    def run(function):
        return function(
            None,
            key,
            root=model.root(None, observation),
            recurrent_fn=model.recurrent,
            num_simulations=1,
            **selection("muzero", 1),
        )

    trees = [jax.jit(functools.partial(run, function))() for function in (search, mctx.search)]
    assert_same_trees(*trees)


@pytest.mark.parametrize("algorithm", ["muzero", "gumbel"])
def test_the_policies_are_those_of_mctx(algorithm):
    """In evaluation, where neither has noise at the root."""
    simulations = 24
    model = random_model(2)
    ours = jitted_tree(model, evaluation=True, algorithm=algorithm, num_simulations=simulations)

    def theirs(key, observation, legal):
        policy, quiet = {
            "muzero": (mctx.muzero_policy, {"dirichlet_fraction": 0.0, "temperature": 0.0}),
            "gumbel": (mctx.gumbel_muzero_policy, {"gumbel_scale": 0.0}),
        }[algorithm]
        return policy(
            None,
            key,
            model.root(None, observation),
            model.recurrent,
            num_simulations=simulations,
            invalid_actions=1.0 - legal,
            **quiet,
        )

    theirs = jax.jit(theirs)
    for seed in range(3):
        _, observation, legal = random_problem(seed)
        output, tree = ours(None, None, observation, legal, 0)
        key = jax.random.key(0)
        if algorithm == "muzero":
            _, key, _ = jax.random.split(key, 3)
        expected = theirs(key, observation, legal)
        for name in EXACT:
            ours_and_theirs = getattr(tree, name), getattr(expected.search_tree, name)
            np.testing.assert_array_equal(*ours_and_theirs, name)
        visits = np.asarray(tree.children_visits)[:, 0]
        np.testing.assert_allclose(output.search_policy, expected.action_weights, atol=1e-5)
        # With visit counts that tie, mctx's MuZero policy draws.
        clear = np.sum(visits == visits.max(axis=-1, keepdims=True), axis=-1) == 1
        clear |= algorithm == "gumbel"
        np.testing.assert_array_equal(output.action[clear], expected.action[clear])
        assert clear.any()


def by_mctx(*args, num_actions=None, **kwargs):
    """Searches with mctx, which has no edges other than actions."""
    del num_actions
    return mctx.search(*args, **kwargs)


@pytest.mark.parametrize(
    ("algorithm", "scope", "num_actions", "num_simulations", "max_depth"),
    [
        pytest.param("muzero", "node", 2, 9, None, marks=pytest.mark.slow),
        ("muzero", "tree", 6, 16, 4),
        ("gumbel", "tree", 3, 7, 3),
        pytest.param("gumbel", "node", 6, 16, None, marks=pytest.mark.slow),
    ],
)
def test_noisy_searches_are_those_with_mctx(
    algorithm, scope, num_actions, num_simulations, max_depth
):
    """While training: noise at the root, sampled actions, ties broken by the same numbers."""
    # The parameter is the index of one of several random models.
    models = [random_model(seed, num_actions=num_actions) for seed in range(4)]

    def recurrent(index, *inputs):
        return jax.lax.switch(
            index, [functools.partial(m.recurrent, None) for m in models], *inputs
        )

    def run(search, index, key, observation, legal):
        model = SearchModel(models[0].root, recurrent, search)
        config = SearchConfig(
            algorithm=algorithm,
            num_simulations=num_simulations,
            max_depth=max_depth,
            q_normalization=QNormalizationConfig(scope=scope),
        )
        root = model.root(None, observation)
        return plan(config, model, index, key, root, legal, 0)

    ours, theirs = (jax.jit(functools.partial(run, one)) for one in (search, mctx.search))
    for seed in range(12):
        problem = seed % len(models), *random_problem(seed, num_actions)
        (output, tree), (expected, expected_tree) = ours(*problem), theirs(*problem)
        assert_same_trees(tree, expected_tree)
        np.testing.assert_array_equal(output.action, expected.action)
        np.testing.assert_allclose(output.search_value, expected.search_value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("algorithm", "scope"),
    [("muzero", "tree"), pytest.param("gumbel", "node", marks=pytest.mark.slow)],
)
def test_stochastic_trees_are_those_with_mctx(algorithm, scope, monkeypatch):
    process = Process(seed=0, horizon=3)
    model = stochastic.stochastic_search_model(process.model(knows_values=True), True)
    q_normalization = QNormalizationConfig(scope=scope)
    config = SearchConfig(algorithm=algorithm, num_simulations=14, q_normalization=q_normalization)

    def run(key):
        root = model.root(None, process.observations())
        return plan(config, model, None, key, root, None, 0)[1]

    keys = [jax.random.PRNGKey(seed) for seed in range(NUM_STATES)]
    ours = jax.jit(run)
    trees = [ours(key) for key in keys]
    monkeypatch.setattr(tree_search, "search", by_mctx)
    theirs = jax.jit(lambda key: run(key))
    for tree, key in zip(trees, keys, strict=True):
        assert_same_trees(tree, theirs(key))
