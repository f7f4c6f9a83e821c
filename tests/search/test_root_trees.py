"""Several searches of one position, against searches that are made one by one."""

import dataclasses
import functools
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from mukoe.errors import UserError
from mukoe.search.config import SearchConfig
from mukoe.search.plan import plan
from mukoe.search.puct import puct_search
from mukoe.search.root import mask_logits
from mukoe.search.root_trees import _over_devices
from tests.search.test_tree_search import ACTIONS, BATCH, random_model, random_problem

KEY = jax.random.PRNGKey(5)
TREES = 4
MODEL = random_model(0, noise=0.0)


def config_of(algorithm, trees, **changes):
    return SearchConfig(
        algorithm=algorithm,
        num_simulations=12,
        # Fewer than actions, so that the Gumbel noise draws other ones.
        max_num_considered_actions=2,
        evaluation_trees=trees,
        **changes,
    )


@functools.cache
def planned(config, evaluation=True):
    _, observation, legal = random_problem(0)
    run = functools.partial(plan, config, MODEL, None, evaluation=evaluation)
    return jax.jit(lambda key: run(key, MODEL.root(None, observation), legal, 0))


@pytest.mark.parametrize("algorithm", ["gumbel", pytest.param("muzero", marks=pytest.mark.slow)])
def test_the_policy_is_the_mean_of_single_searches(algorithm):
    output, first = planned(config_of(algorithm, TREES))(KEY)
    single = planned(config_of(algorithm, 1), evaluation=False)
    keys = jax.random.split(jax.random.split(KEY)[0], TREES)
    outputs, trees = zip(*map(single, keys), strict=True)
    policies = np.array([each.search_policy for each in outputs])
    assert np.abs(policies - policies[0]).max() > 0.01, "the searches do not differ"
    np.testing.assert_allclose(output.search_policy, policies.mean(axis=0), atol=1e-5)
    values = np.array([each.search_value for each in outputs])
    np.testing.assert_allclose(output.search_value, values.mean(axis=0), atol=1e-5)
    depths = np.array([each.statistics["search_depth_max"] for each in outputs])
    np.testing.assert_allclose(output.statistics["search_depth_max"], depths.mean(axis=0))
    np.testing.assert_array_equal(first.children_index, trees[0].children_index)

    visits = np.array([tree.summary().visit_counts for tree in trees])
    qvalues = np.array([tree.summary().qvalues for tree in trees])
    pooled = (visits * qvalues).sum(axis=0) / np.maximum(visits.sum(axis=0), 1)
    for b in range(BATCH):
        policy = policies.mean(axis=0)[b]
        equal = np.flatnonzero(np.isclose(policy, policy.max(), atol=1e-6))
        assert output.action[b] == equal[pooled[b, equal].argmax()]


def test_one_tree_is_the_plain_search():
    """It has no noise, so that the key does not matter."""
    config = config_of("muzero", 1)
    outputs = [planned(config)(jax.random.PRNGKey(seed))[0] for seed in range(2)]
    _, observation, legal = random_problem(0)
    root = MODEL.root(None, observation)
    root = dataclasses.replace(root, prior_logits=mask_logits(root.prior_logits, legal))
    search = functools.partial(puct_search, config, MODEL, None, evaluation=True)
    plain, _ = jax.jit(lambda: search(jax.random.key(0), root, legal, 0))()
    for output in outputs:
        np.testing.assert_array_equal(output.action, plain.action)
        np.testing.assert_array_equal(output.search_policy, plain.search_policy)
        np.testing.assert_allclose(output.search_value, plain.search_value, rtol=1e-5)


def test_the_drawn_action_is_of_the_mean_policy():
    run = planned(config_of("muzero", 2, evaluation_temperature=1.0))
    outputs = [run(jax.random.PRNGKey(seed))[0] for seed in range(50)]
    policy = np.mean([output.search_policy for output in outputs], axis=0)
    drawn = np.mean([np.eye(ACTIONS)[output.action] for output in outputs], axis=0)
    np.testing.assert_allclose(drawn, policy, atol=5 * np.sqrt(0.25 / len(outputs)))
    assert np.any((drawn > 0) & (drawn < 1))


def test_without_simulations_the_prior_acts():
    config = dataclasses.replace(config_of("muzero", 3), num_simulations=0)
    output, tree = planned(config)(jax.random.PRNGKey(0))
    assert tree is None
    assert output.action.shape == (BATCH,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluation_reuse_tree": True}, "exclude each other"),
        ({"num_candidates": 3}, "needs a search over all actions"),
    ],
)
def test_what_does_not_combine_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        config_of("muzero", 2, **changes)


def print_policy():
    """Prints the number of devices of a search with several trees, and its policy."""
    assert len(jax.local_devices()) == 2
    output, _ = planned(config_of("muzero", TREES))(KEY)
    policy = [f"{x:.6f}" for x in np.asarray(output.search_policy).ravel()]
    print(len(output.search_policy.sharding.device_set), *policy)


def test_two_devices_share_the_trees():
    """The result is that of one device."""
    code = "from tests.search.test_root_trees import print_policy; print_policy()"
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    environment = {**os.environ, **flags}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    devices, *policy = map(float, done.stdout.split())
    assert devices == 2
    expected, _ = planned(config_of("muzero", TREES))(KEY)
    np.testing.assert_allclose(policy, np.ravel(expected.search_policy), atol=1e-5)


def test_trees_that_the_devices_cannot_share_stay_on_one():
    assert _over_devices(abs, num_trees=1) is abs
