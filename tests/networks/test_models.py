"""The three functions of a model: parameters, predictions, gradients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from mukoe.errors import UserError
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.models import make_muzero_networks
from mukoe.types import MaskedObservation
from tests.networks.tiny import ACTIONS, TINY, observation_for, random_params, spec_of, tiny


def test_one_tree_without_state_names_the_three_functions():
    params = tiny("mlp", (4,)).init(jax.random.PRNGKey(0))
    assert {name.split("/")[0] for name in params} == {"representation", "prediction", "dynamics"}


def test_new_networks_predict_nothing():
    networks = tiny("board", (4, 4, 1))
    params = networks.init(jax.random.PRNGKey(0))
    state = networks.representation(params, observation_for((4, 4, 1), np.float32))
    prediction = networks.prediction(params, state)
    _, reward_logits = networks.dynamics(params, state, jnp.array([0, 1]))
    for logits in (*prediction, reward_logits):
        np.testing.assert_array_equal(logits, 0.0)


def test_pixels_are_scaled_once():
    networks = tiny("board", (4, 4, 1), np.uint8)
    params = random_params(networks.init)
    pixels = observation_for((4, 4, 1), np.uint8)
    np.testing.assert_allclose(
        networks.representation(params, pixels),
        networks.representation(params, pixels.astype(jnp.float32) / 255.0),
        rtol=1e-5,
    )


@pytest.mark.parametrize("torso, shape", [("mlp", (4,)), ("flat", (4, 4, 2)), ("board", (4, 4, 2))])
def test_the_action_matters_and_examples_do_not_mix(torso, shape):
    networks = tiny(torso, shape)
    params = random_params(networks.init)
    observation = observation_for(shape, np.float32, batch=1)
    state = networks.representation(params, jnp.concatenate([observation] * 3))
    states, rewards = networks.dynamics(params, state, jnp.arange(3))
    assert np.ptp(states, axis=0).max() > 1e-3
    assert np.ptp(rewards, axis=0).max() > 1e-3
    for a in range(3):
        alone, reward = networks.dynamics(params, state[:1], jnp.array([a]))
        np.testing.assert_allclose(alone[0], states[a], atol=1e-5)
        np.testing.assert_allclose(reward[0], rewards[a], atol=1e-5)


@pytest.mark.parametrize("torso, shape", [("mlp", (4,)), ("flat", (4, 4, 2)), ("board", (4, 4, 2))])
def test_states_fill_zero_to_one_where_asked(torso, shape):
    for scaled in (True, False):
        networks = tiny(torso, shape, scale_hidden_state=scaled)
        params = random_params(networks.init)
        state = networks.representation(params, observation_for(shape, np.float32))
        after, _ = networks.dynamics(params, state, jnp.array([0, 1]))
        for s in (state, after):
            flat = np.asarray(s).reshape(2, -1)
            fills = np.allclose(flat.min(1), 0.0) and np.allclose(flat.max(1), 1.0)
            assert fills == scaled


def test_gradient_scale_leaves_values_alone_and_halves_gradients_per_step():
    whole = tiny("mlp", (4,), dynamics_gradient_scale=1.0)
    half = tiny("mlp", (4,), dynamics_gradient_scale=0.5)
    params = random_params(whole.init)
    state = whole.representation(params, observation_for((4,), np.float32))
    actions = jnp.array([0, 1])

    def loss(state, networks, steps):
        for _ in range(steps):
            state, reward_logits = networks.dynamics(params, state, actions)
        return jnp.sum(jnp.sin(state)) + jnp.sum(reward_logits[:, 0])

    for a, b in zip(
        whole.dynamics(params, state, actions), half.dynamics(params, state, actions), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    for steps in (1, 2, 3):
        full = jax.grad(loss)(state, whole, steps)
        assert np.max(np.abs(full)) > 1e-4
        np.testing.assert_allclose(
            jax.grad(loss)(state, half, steps), full * 0.5**steps, rtol=1e-4, atol=1e-7
        )


def test_gradient_scale_does_not_touch_the_dynamics_parameters():
    observation = observation_for((4,), np.float32)
    gradients = []
    for scale in (1.0, 0.5):
        networks = tiny("mlp", (4,), dynamics_gradient_scale=scale)
        params = random_params(networks.init)

        def loss(params, networks=networks):
            state = networks.representation(params, observation)
            _, reward_logits = networks.dynamics(params, state, jnp.array([0, 1]))
            return jnp.sum(jnp.sin(reward_logits))

        gradients.append(jax.grad(loss)(params))
    whole, half = gradients
    for name in whole:
        factor = 0.5 if name.startswith("representation") else 1.0
        for leaf in whole[name]:
            np.testing.assert_allclose(
                half[name][leaf], factor * whole[name][leaf], rtol=1e-4, atol=1e-6
            )


def test_features_of_masked_observations_count():
    spec = spec_of(
        MaskedObservation(specs.Array((3, 3, 2), np.float32), specs.Array((ACTIONS,), bool))
    )
    networks = make_muzero_networks(spec, HistoryConfig(), dataclasses.replace(TINY, torso="board"))
    assert "representation/board_torso" in networks.init(jax.random.PRNGKey(0))


def test_odd_width_is_refused():
    with pytest.raises(UserError, match="width must be even, not 7"):
        NetworkConfig(width=7)
