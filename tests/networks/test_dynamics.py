"""Dynamics by an LSTM, against its equations."""

import jax
import numpy as np
import pytest

from tests.networks.tiny import ACTIONS, noisy, observation_for, tiny


@pytest.mark.parametrize(("torso", "shape"), [("mlp", (4,)), ("board", (3, 3, 2))])
def test_lstm_dynamics_equal_the_equations(torso, shape):
    networks = tiny(torso, shape, dynamics="lstm")
    params = noisy(networks.init(jax.random.PRNGKey(0)))
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
