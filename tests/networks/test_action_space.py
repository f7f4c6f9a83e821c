"""Action spaces: policies against NumPy, encodings by hand, and spaces that are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from mukoe.errors import UserError
from mukoe.networks.action_space import BoxSpace, DiscreteSpace, make_action_space
from mukoe.networks.distributions import GaussianConfig
from tests.networks.tiny import spec_of

GAUSSIAN = GaussianConfig(initial_std=0.5, minimum_std=0.1)
KEY = jax.random.PRNGKey(0)


def box(shape=(2,), minimum=-1.0, maximum=1.0):
    observations = specs.Array((4,), np.float32)
    actions = specs.BoundedArray(shape, np.float32, minimum, maximum)
    return spec_of(observations)._replace(actions=actions)


def test_the_space_of_an_environment():
    assert make_action_space(spec_of(None, 5), None) == DiscreteSpace(5)
    assert make_action_space(box(), GAUSSIAN) == BoxSpace(2, GAUSSIAN)
    with pytest.raises(UserError, match="needs Discrete actions.* 2 real numbers; Muesli"):
        make_action_space(box(), None)
    for spec in (box((2, 2)), box(minimum=-2.0), box(maximum=0.5)):
        with pytest.raises(UserError, match="one vector with bounds -1 and 1"):
            make_action_space(spec, GAUSSIAN)


def test_a_choice_is_encoded_one_hot():
    space = DiscreteSpace(3)
    assert (space.spec.shape, space.spec.dtype, space.num_outputs) == ((), np.int32, 3)
    encoded = space.encode(jnp.array([2, 0]))
    np.testing.assert_array_equal(encoded, [[0, 0, 1], [1, 0, 0]])


def test_a_vector_is_encoded_as_it_takes_effect():
    space = BoxSpace(2, GAUSSIAN)
    assert (space.spec.shape, space.spec.dtype, space.num_outputs) == ((2,), np.float32, 4)
    encoded = space.encode(jnp.array([[0.5, -3.0]]))
    np.testing.assert_array_equal(encoded, [[0.5, -1.0]])


def test_policy_over_choices():
    space, outputs = DiscreteSpace(3), jnp.array([0.0, 1.0, 2.0])
    legal = jnp.array([True, True, False])
    policy = space.policy(outputs, legal)
    probs = np.exp([0.0, 1.0]) / np.exp([0.0, 1.0]).sum()
    np.testing.assert_allclose(policy.log_prob(jnp.int32(1)), np.log(probs[1]), rtol=1e-6)
    np.testing.assert_allclose(policy.entropy(), -np.sum(probs * np.log(probs)), rtol=1e-6)
    assert int(policy.mode()) == 1
    assert space.policy(outputs).mode() == 2
    assert policy.sample(KEY).shape == space.spec.shape


def test_policy_over_vectors():
    space, outputs = BoxSpace(2, GAUSSIAN), jnp.array([0.3, -2.0, 0.0, 1.0])
    policy = space.policy(outputs)
    mean = np.tanh([0.3, -2.0])
    std = 0.1 + 0.4 * np.log1p(np.exp([0.0, 1.0])) / np.log(2)
    action = np.array([0.1, 0.2])
    density = np.exp(-((action - mean) ** 2) / (2 * std**2)) / (std * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(policy.log_prob(action), np.log(density).sum(), rtol=1e-5)
    np.testing.assert_allclose(policy.mode(), mean, rtol=1e-6)
    np.testing.assert_allclose(
        policy.entropy(), np.log(std * np.sqrt(2 * np.pi * np.e)).sum(), rtol=1e-5
    )
    assert policy.sample(KEY).shape == space.spec.shape
