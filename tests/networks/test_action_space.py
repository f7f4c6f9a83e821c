"""Action spaces: policies against NumPy, encodings by hand, and spaces that are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from dm_env import specs

from mukoe.errors import UserError
from mukoe.networks.action_space import (
    BoxSpace,
    DiscreteSpace,
    ProductSpace,
    make_action_space,
)
from mukoe.networks.distributions import GaussianConfig
from mukoe.types import ProductArray
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


CHOICES = (3, 0, 2, 0, 0)
"""Two choices and three numbers, in any order."""


@pytest.mark.parametrize("bounds", ["clip", "tanh"])
def test_policy_over_a_product_is_that_of_its_parts(bounds):
    gaussian = GaussianConfig(bounds, initial_std=0.5, minimum_std=0.1)
    space, random = ProductSpace(CHOICES, gaussian), np.random.default_rng(0)
    assert (space.spec.shape, space.size, space.num_outputs) == ((5,), 8, 11)
    outputs = random.normal(size=(4, 11)).astype(np.float32)
    action = np.array([[2, 0.1, 0, -0.9, 0.4], [0, -0.3, 1, 0.5, 0.2]] * 2, np.float32)
    policy = space.policy(jnp.asarray(outputs))
    first, second = (
        scipy.stats.multinomial(1, softmax(x)) for x in (outputs[0, :3], outputs[0, 3:5])
    )
    numbers = np.asarray(policy.numbers.log_prob(action[:, [1, 3, 4]]))
    expected = first.logpmf([0, 0, 1]) + second.logpmf([1, 0]) + numbers[0]
    np.testing.assert_allclose(policy.log_prob(action)[0], expected, rtol=1e-5)
    if bounds == "clip":
        std = np.asarray(policy.numbers.std)[0].astype(float)
        normal = scipy.stats.multivariate_normal(np.tanh(outputs[0, 5:8]), np.diag(std**2))
        np.testing.assert_allclose(numbers[0], normal.logpdf(action[0, [1, 3, 4]]), rtol=1e-5)
    entropy = scipy.stats.entropy(softmax(outputs[0, :3])) + scipy.stats.entropy(
        softmax(outputs[0, 3:5])
    )
    np.testing.assert_allclose(
        policy.entropy()[0], entropy + policy.numbers.entropy()[0], rtol=1e-5
    )
    mode = np.asarray(policy.mode())
    np.testing.assert_array_equal(mode[:, 0], outputs[:, :3].argmax(-1))
    np.testing.assert_array_equal(mode[:, 2], outputs[:, 3:5].argmax(-1))
    np.testing.assert_array_equal(mode[:, [1, 3, 4]], policy.numbers.mode())
    np.testing.assert_array_equal(policy.perturb(policy.noise(KEY)).shape, (4, 5))
    assert policy.noise(KEY).shape == (4, space.size)


def softmax(logits):
    return np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum()


def test_samples_of_a_product_follow_their_parts():
    space = ProductSpace(CHOICES, GAUSSIAN)
    outputs = jnp.tile(jnp.arange(11.0) / 5, (20_000, 1))
    drawn = np.asarray(space.policy(outputs).sample(KEY))
    for column, part in ((0, slice(0, 3)), (2, slice(3, 5))):
        shares = np.bincount(drawn[:, column].astype(int)) / len(drawn)
        np.testing.assert_allclose(shares, softmax(np.arange(11.0)[part] / 5), atol=0.015)
    np.testing.assert_allclose(
        drawn[:, [1, 3, 4]].mean(axis=0), np.tanh([1.0, 1.2, 1.4]), atol=0.05
    )
    uniform = np.asarray(space.uniform(KEY, (20_000,)))
    np.testing.assert_allclose(uniform.mean(axis=0), [1, 0, 0.5, 0, 0], atol=0.02)
    assert set(np.unique(uniform[:, 0])) == {0, 1, 2}


def test_a_product_is_encoded_part_by_part():
    space = ProductSpace(CHOICES, GAUSSIAN)
    encoded = space.encode(jnp.array([2.0, 0.1, 0.0, -3.0, 0.4]))
    np.testing.assert_allclose(encoded, [0, 0, 1, 1, 0, 0.1, -1, 0.4])
    assert space.num_choices is None
    choices = ProductSpace((2, 3), GAUSSIAN)
    assert choices.num_choices == 6 and choices.num_outputs == choices.size == 5
    np.testing.assert_array_equal(
        choices.all_actions(), [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    )
    assert choices.policy(jnp.zeros(5)).entropy() == pytest.approx(np.log(6))


def test_the_space_of_several_parts():
    spec = spec_of(None, 5)._replace(actions=ProductArray((3, 0)))
    assert make_action_space(spec, GAUSSIAN) == ProductSpace((3, 0), GAUSSIAN)
    with pytest.raises(
        UserError, match="2 choices and numbers; Muesli and PPO take them, and MuZero"
    ):
        make_action_space(spec, None)
