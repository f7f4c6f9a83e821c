"""Random actions."""

import jax
import numpy as np
from dm_env import specs

from mukoe.acting.random_policy import make_random_policy
from mukoe.types import EnvironmentSpec, MaskedObservation, ProductArray

REWARDS = specs.Array((), np.float32)
DISCOUNTS = specs.BoundedArray((), np.float32, 0.0, 1.0)


def actions(spec, observation):
    policy = make_random_policy(spec)
    action, extras, state = policy.apply((), jax.random.PRNGKey(0), observation, ())
    assert extras == {} and state == () and policy.extras_spec == {}
    return np.asarray(action)


def test_all_actions_are_equally_likely():
    spec = EnvironmentSpec(
        specs.Array((2,), np.float32), specs.DiscreteArray(4), REWARDS, DISCOUNTS
    )
    found = actions(spec, np.zeros((8000, 2), np.float32))
    assert found.dtype == np.int32
    np.testing.assert_allclose(np.bincount(found) / 8000, 0.25, atol=0.02)


def test_only_legal_actions_are_chosen():
    spec = EnvironmentSpec(
        MaskedObservation(specs.Array((1,), np.float32), specs.Array((3,), bool)),
        specs.DiscreteArray(3),
        REWARDS,
        DISCOUNTS,
    )
    legal = np.tile([[True, False, True], [False, True, False]], (500, 1))
    found = actions(spec, MaskedObservation(np.zeros((1000, 1), np.float32), legal))
    assert legal[np.arange(1000), found].all() and set(found) == {0, 1, 2}


def test_continuous_actions_fill_their_bounds():
    bounds = specs.BoundedArray((2,), np.float32, [-1.0, 0.0], [1.0, 4.0])
    spec = EnvironmentSpec(specs.Array((2,), np.float32), bounds, REWARDS, DISCOUNTS)
    found = actions(spec, np.zeros((4000, 2), np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.min(0), [-1, 0], atol=0.02)
    np.testing.assert_allclose(found.max(0), [1, 4], atol=0.02)


def test_choices_of_several_parts_are_equally_likely():
    spec = EnvironmentSpec(specs.Array((1,), np.float32), ProductArray((3, 0)), REWARDS, DISCOUNTS)
    found = np.asarray(actions(spec, np.zeros((8000, 1), np.float32)))
    values, counts = np.unique(found[:, 0], return_counts=True)
    np.testing.assert_array_equal(values, [0, 1, 2])
    np.testing.assert_allclose(counts / 8000, 1 / 3, atol=0.02)
    np.testing.assert_allclose([found[:, 1].min(), found[:, 1].max()], [-1, 1], atol=0.02)
