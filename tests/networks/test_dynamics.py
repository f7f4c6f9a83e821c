"""Dynamics by an LSTM, a GRU and transformer blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.errors import UserError
from tests.networks.tiny import ACTIONS, observation_for, random_params, tiny


@pytest.mark.parametrize(("torso", "shape"), [("mlp", (4,)), ("board", (3, 3, 2))])
def test_lstm_dynamics_equal_the_equations(torso, shape):
    networks = tiny(torso, shape, dynamics="lstm")
    params = random_params(networks.init)
    state = np.asarray(networks.representation(params, observation_for(shape, np.float32)))
    assert state.shape == (2, 16)
    assert np.abs(state[:, :8]).max() <= 1
    action = np.array([0, 2])
    following, reward_logits = networks.dynamics(params, state, action)
    assert reward_logits.shape == (2, 5)
    (module,) = [name for name in params if name.endswith("lstm/linear")]
    inputs = np.concatenate([np.eye(ACTIONS)[action], state[:, :8]], axis=-1)
    gates = inputs @ np.asarray(params[module]["w"]) + np.asarray(params[module]["b"])
    i, g, f, o = np.split(gates, 4, axis=-1)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    # Haiku adds 1 to the forget gate.
    cell = sigmoid(f + 1) * state[:, 8:] + sigmoid(i) * np.tanh(g)
    output = sigmoid(o) * np.tanh(cell)
    np.testing.assert_allclose(following, np.concatenate([output, cell], -1), atol=1e-5)
    # The heads see the output alone.
    other_cell = np.concatenate([output, cell + 1], -1)
    for a, b in zip(
        networks.prediction(params, following),
        networks.prediction(params, other_cell),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_gru_dynamics_equal_the_equations():
    networks = tiny("mlp", (4,), dynamics="gru")
    params = random_params(networks.init)
    state = np.asarray(networks.representation(params, observation_for((4,), np.float32)))
    assert state.shape == (2, 8) and 0 < np.abs(state).max() <= 1
    action = np.array([0, 2])
    following, reward_logits = networks.dynamics(params, state, action)
    assert reward_logits.shape == (2, 5)
    (weights,) = [{k: np.asarray(v) for k, v in p.items()} for n, p in params.items() if "gru" in n]
    x = np.eye(ACTIONS)[action] @ weights["w_i"] + weights["b"]
    z, r = (
        1 / (1 + np.exp(-(x[:, part] + state @ weights["w_h"][:, part])))
        for part in (slice(0, 8), slice(8, 16))
    )
    new = np.tanh(x[:, 16:] + (r * state) @ weights["w_h"][:, 16:])
    np.testing.assert_allclose(following, (1 - z) * state + z * new, atol=1e-5)


@pytest.mark.parametrize(("torso", "shape"), [("mlp", (4,)), ("board", (3, 3, 2))])
def test_transformer_dynamics_mix_all_places_of_the_state(torso, shape):
    networks = tiny(torso, shape, dynamics="transformer", scale_hidden_state=False)
    params = random_params(networks.init)
    state = networks.representation(params, observation_for(shape, np.float32) / 255)
    action = np.array([0, 2])
    following, _ = networks.dynamics(params, state, action)
    assert following.shape == state.shape
    # One number of the state changes all tokens of its own entry of the batch alone.
    changed, _ = networks.dynamics(params, state.at[0, ..., :1].add(1.0 + np.arange(1)), action)
    moved = np.abs(changed - following).reshape(2, -1)
    assert moved[0].min() > 0 and moved[1].max() == 0
    if torso == "board":
        corner, _ = networks.dynamics(params, state.at[0, 0, 0].add(1.0), action)
        assert np.abs(corner - following)[0].max(axis=-1).min() > 1e-6


def test_vectors_that_cannot_be_divided_are_refused():
    with pytest.raises(UserError, match=r"network\.width \(12\) must be a multiple of 8"):
        tiny("mlp", (4,), dynamics="transformer", width=12).init(jax.random.PRNGKey(0))


@pytest.mark.parametrize(
    ("dynamics", "torso", "shape"),
    [
        ("gru", "mlp", (4,)),
        ("transformer", "board", (3, 3, 2)),
        *[
            pytest.param(dynamics, torso, shape, marks=pytest.mark.slow)
            for dynamics, torso, shape in (
                ("residual", "mlp", (4,)),
                ("lstm", "mlp", (4,)),
                ("transformer", "mlp", (4,)),
                ("residual", "board", (3, 3, 2)),
                ("lstm", "board", (3, 3, 2)),
                ("gru", "board", (3, 3, 2)),
            )
        ],
    ],
)
def test_gradients_of_an_unroll_reach_all_parameters_and_the_first_state(dynamics, torso, shape):
    networks = tiny(torso, shape, dynamics=dynamics, dynamics_gradient_scale=1.0)
    params = random_params(networks.init)
    observation = observation_for(shape, np.float32) / 255

    @jax.jit
    def loss(params):
        state, total = networks.representation(params, observation), 0.0
        for action in ([0, 2], [1, 1]):
            state, reward_logits = networks.dynamics(params, state, np.array(action))
            total += jnp.sum(reward_logits**2)
        prediction = networks.prediction(params, state)
        return total + jnp.sum(prediction.policy_logits**2) + jnp.sum(prediction.value_logits**2)

    gradients = jax.jit(jax.grad(loss))(params)
    for name, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0, name
