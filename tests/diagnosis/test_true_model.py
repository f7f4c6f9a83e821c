"""Copies of environments as the model of a search."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.diagnosis.xray.true_model import Copies, copies_model, copy_of, depends_on_chance
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.networks.prediction import Prediction


def vector(name, **options):
    entry = f"Test{len(gymnasium.registry)}-v0"
    gymnasium.register(entry, f"gymnasium.envs.toy_text:{name}", kwargs=options)
    return GymnasiumConfig(entry).make_factory()(0, 2, True)


class Zeros:
    """Networks that value every observation by its sum."""

    def representation(self, params, observation):
        return observation

    def prediction(self, params, state):
        value = state.reshape(len(state), -1).sum(-1, keepdims=True)
        return Prediction(jnp.zeros((len(state), 2)), value)

    @property
    def value_encoding(self):
        return self

    def to_scalar(self, logits):
        return logits[..., 0]


def test_the_model_steps_copies_and_leaves_the_environments_alone():
    environment, twin = (
        GymnasiumConfig("CartPole-v1").make_factory()(0, 2, True) for _ in range(2)
    )
    timestep = environment.reset()
    twin.reset()
    model = copies_model(Zeros(), Copies(environment), 0.9)

    @jax.jit
    def two_steps(observation, first, second):
        root, key = model.root({}, observation), jax.random.PRNGKey(0)
        _, nodes = model.recurrent({}, key, first, root.embedding)
        output, _ = model.recurrent({}, key, second, nodes)
        return output

    actions = np.array([[0, 1], [1, 1]], np.int32)
    for _ in range(2):
        output = two_steps(timestep.observation, actions[0], actions[1])
    twin.step(actions[0])
    expected = twin.step(actions[1])
    np.testing.assert_allclose(output.value, expected.observation.sum(-1), rtol=1e-5)
    np.testing.assert_allclose(output.reward, expected.reward)
    np.testing.assert_allclose(output.discount, 0.9 * expected.discount)
    first = environment.step(actions[0])
    assert not np.array_equal(first.observation, expected.observation)


def test_a_state_behind_the_end_has_no_reward():
    environment = GymnasiumConfig("CartPole-v1").make_factory()(0, 1, True)
    environment.reset()
    copies = Copies(environment)
    nodes, rewards, discounts = copies.roots(), [], []
    for _ in range(20):
        nodes, timestep = copies.step(nodes, np.array([1]))
        rewards.append(float(timestep.reward[0]))
        discounts.append(float(timestep.discount[0]))
    end = discounts.index(0.0)
    assert rewards == [1.0] * (end + 1) + [0.0] * (19 - end)
    assert set(discounts[end:]) == {0.0}


@pytest.mark.parametrize(("slippery", "chance"), [(True, True), (False, False)])
def test_ice_is_chance(slippery, chance):
    environment = vector("FrozenLakeEnv", is_slippery=slippery)
    assert depends_on_chance(environment) == chance


def test_copies_share_the_table_of_transitions():
    environment = vector("TaxiEnv")
    environment.reset()
    original = environment.environments[0]
    copied = copy_of(original)
    assert copied.native.unwrapped.P is original.native.unwrapped.P
    before = original.native.unwrapped.s
    moved = {copied.step(action) and copied.native.unwrapped.s for action in range(4)}
    assert original.native.unwrapped.s == before and moved - {before}
