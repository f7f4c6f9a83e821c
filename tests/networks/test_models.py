import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from mukoe.errors import UserError
from mukoe.networks.history import HistoryConfig
from mukoe.networks.models import NetworkConfig, make_muzero_networks, scale_state
from mukoe.networks.value_encoding import SupportConfig
from mukoe.types import EnvironmentSpec, MaskedObservation

TINY = NetworkConfig(
    hidden_sizes=(8,),
    width=8,
    head_channels=2,
    head_sizes=(8,),
    value_support=SupportConfig(-5.0, 5.0, 11),
    reward_support=SupportConfig(-2.0, 2.0, 5),
)
ACTIONS = 3


def spec_of(observations, actions=ACTIONS):
    return EnvironmentSpec(
        observations=observations,
        actions=specs.DiscreteArray(actions),
        rewards=specs.Array((), np.float32),
        discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
    )


def tiny(torso, shape, dtype=np.float32, history=None, **changes):
    config = dataclasses.replace(TINY, torso=torso, **changes)
    return make_muzero_networks(
        spec_of(specs.Array(shape, dtype)), history or HistoryConfig(), config
    )


def noisy(params, key=0):
    """Parameters with nothing left at zero, so that every path carries signal."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.PRNGKey(key), len(leaves))
    return jax.tree.unflatten(
        tree,
        [x + 0.1 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)],
    )


def observation_for(shape, dtype, batch=2):
    rng = np.random.default_rng(1)
    return jnp.asarray(rng.integers(0, 255, (batch, *shape)).astype(dtype))


@pytest.mark.parametrize(
    "torso, shape, dtype, state",
    [
        ("mlp", (4,), np.float32, (8,)),
        ("mlp", (), np.float32, (8,)),
        ("board", (10, 10, 4), np.float32, (10, 10, 8)),
        ("board", (3, 3, 2), np.int8, (3, 3, 8)),
        ("small", (64, 64, 1), np.uint8, (4, 4, 8)),
        ("small", (33, 40, 3), np.uint8, (3, 3, 8)),
        ("large", (96, 96, 3), np.uint8, (6, 6, 8)),
        ("impala", (40, 33, 1), np.uint8, (8,)),
    ],
)
def test_shapes_of_every_torso(torso, shape, dtype, state):
    networks = tiny(torso, shape, dtype)
    params = networks.init(jax.random.PRNGKey(0))
    first = networks.representation(params, observation_for(shape, dtype))
    assert first.shape == (2, *state)
    assert first.dtype == jnp.float32
    prediction = networks.prediction(params, first)
    assert prediction.policy_logits.shape == (2, ACTIONS)
    assert prediction.value_logits.shape == (2, 11)
    second, reward_logits = networks.dynamics(params, first, jnp.array([0, 2]))
    assert second.shape == first.shape
    assert reward_logits.shape == (2, 5)
    assert networks.num_actions == ACTIONS


def parameter_shapes(params):
    return {
        f"{module}/{name}": value.shape
        for module, entries in params.items()
        for name, value in entries.items()
    }


def test_small_torso_has_the_layers_it_promises():
    networks = tiny("small", (64, 64, 1), np.uint8, HistoryConfig(4), width=64)
    shapes = parameter_shapes(networks.init(jax.random.PRNGKey(0)))
    kernels = [
        shape
        for name, shape in shapes.items()
        if name.startswith("representation/") and name.endswith("/w")
    ]
    assert sorted(kernels) == sorted(
        [(3, 3, 4, 32), (3, 3, 32, 64)] + 2 * [(3, 3, 32, 32)] + 4 * [(3, 3, 64, 64)]
    )


def test_large_torso_is_that_of_the_paper():
    # 32 RGB frames; 128 then 256 channels; 2, 3 and 3 blocks of two convolutions.
    networks = tiny(
        "large", (96, 96, 3), np.uint8, HistoryConfig(32, True), width=256, dynamics_blocks=16
    )
    params = jax.eval_shape(networks.init, jax.random.PRNGKey(0))
    shapes = parameter_shapes(params)
    kernels = [s for n, s in shapes.items() if n.startswith("representation/") and n.endswith("/w")]
    first = (3, 3, 32 * 3 + 31, 128)
    expected = [first, (3, 3, 128, 256)] + 4 * [(3, 3, 128, 128)] + 12 * [(3, 3, 256, 256)]
    assert sorted(kernels) == sorted(expected)
    state = jax.eval_shape(
        networks.representation, params, jax.ShapeDtypeStruct((1, 96, 96, 127), np.float32)
    )
    assert state.shape == (1, 6, 6, 256)
    dynamics = [s for n, s in shapes.items() if n.startswith("dynamics/residual") and "/w" in n]
    assert dynamics == 32 * [(3, 3, 256, 256)]


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


def test_new_mlp_sees_how_large_its_input_is():
    networks = tiny("mlp", (4,))
    params = networks.init(jax.random.PRNGKey(0))
    x = jnp.array([[0.1, -0.2, 0.3, 0.4]])
    near, far = (networks.representation(params, scale * x) for scale in (1.0, 5.0))
    assert float(jnp.max(jnp.abs(near - far))) > 0.05


def test_pixels_are_scaled_once():
    networks = tiny("board", (4, 4, 1), np.uint8)
    params = noisy(networks.init(jax.random.PRNGKey(0)))
    pixels = observation_for((4, 4, 1), np.uint8)
    np.testing.assert_allclose(
        networks.representation(params, pixels),
        networks.representation(params, pixels.astype(jnp.float32) / 255.0),
        rtol=1e-5,
    )


@pytest.mark.parametrize("torso, shape", [("mlp", (4,)), ("flat", (4, 4, 2)), ("board", (4, 4, 2))])
def test_the_action_matters_and_examples_do_not_mix(torso, shape):
    networks = tiny(torso, shape)
    params = noisy(networks.init(jax.random.PRNGKey(0)))
    observation = observation_for(shape, np.float32, batch=1)
    state = networks.representation(params, jnp.concatenate([observation] * 3))
    states, rewards = networks.dynamics(params, state, jnp.arange(3))
    assert np.ptp(states, axis=0).max() > 1e-3
    assert np.ptp(rewards, axis=0).max() > 1e-3
    for a in range(3):
        alone, reward = networks.dynamics(params, state[:1], jnp.array([a]))
        np.testing.assert_allclose(alone[0], states[a], atol=1e-5)
        np.testing.assert_allclose(reward[0], rewards[a], atol=1e-5)


def test_scale_state_by_hand():
    state = jnp.array([[[[1.0, 3.0]], [[5.0, 2.0]]], [[[-1.0, 0.0]], [[0.0, 0.0]]]])
    expected = [[[[0.0, 0.5]], [[1.0, 0.25]]], [[[0.0, 1.0]], [[1.0, 1.0]]]]
    np.testing.assert_allclose(scale_state(state), expected)
    np.testing.assert_array_equal(scale_state(jnp.full((1, 3), 7.0)), 0.0)


@pytest.mark.parametrize("torso, shape", [("mlp", (4,)), ("flat", (4, 4, 2)), ("board", (4, 4, 2))])
def test_states_fill_zero_to_one_where_asked(torso, shape):
    for scaled in (True, False):
        networks = tiny(torso, shape, scale_hidden_state=scaled)
        params = noisy(networks.init(jax.random.PRNGKey(0)))
        state = networks.representation(params, observation_for(shape, np.float32))
        after, _ = networks.dynamics(params, state, jnp.array([0, 1]))
        for s in (state, after):
            flat = np.asarray(s).reshape(2, -1)
            fills = np.allclose(flat.min(1), 0.0) and np.allclose(flat.max(1), 1.0)
            assert fills == scaled


def test_gradient_scale_leaves_values_alone_and_halves_gradients_per_step():
    whole = tiny("mlp", (4,), dynamics_gradient_scale=1.0)
    half = tiny("mlp", (4,), dynamics_gradient_scale=0.5)
    params = noisy(whole.init(jax.random.PRNGKey(0)))
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
        params = noisy(networks.init(jax.random.PRNGKey(0)))

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


@pytest.mark.parametrize(
    "torso, shape, message",
    [
        ("mlp", (64, 64, 3), "'mlp' takes vectors.*'board', 'small', 'large' or 'impala'"),
        ("mlp", (10, 5), "'mlp' takes vectors.*flatten"),
        ("small", (4,), "'small' takes images.*'mlp' takes vectors"),
        ("large", (84, 84), "'large' takes images.*axis of channels"),
        ("board", (), "'board' takes images.*'mlp' takes vectors"),
        ("small", (10, 10, 4), "at least 32x32, not 10x10; torso 'board' takes any size"),
        ("large", (96, 16, 3), "at least 32x32, not 96x16"),
        ("huge", (4,), "unknown torso 'huge'; known are mlp, flat, board, small, large"),
    ],
)
def test_misfits_are_refused_with_what_would_fit(torso, shape, message):
    with pytest.raises(UserError, match=message) as error:
        tiny(torso, shape)
    assert "\n" not in str(error.value)


def test_odd_width_is_refused():
    with pytest.raises(UserError, match="width must be even, not 7"):
        NetworkConfig(width=7)


def test_impala_torso_is_that_of_the_paper():
    networks = tiny("impala", (72, 96, 3), np.uint8, hidden_sizes=(16, 32, 32), width=256)
    shapes = parameter_shapes(jax.eval_shape(networks.init, jax.random.PRNGKey(0)))
    kernels = [
        shape
        for name, shape in shapes.items()
        if name.startswith("representation/") and name.endswith("/w")
    ]
    stages = [(3, 16, 1), (16, 32, 1), (32, 32, 1)]
    expected = [(3, 3, before, after) for before, after, _ in stages]
    expected += [(3, 3, after, after) for _, after, _ in stages for _ in range(4)]
    # IMPALA's figure 3: 72x96 becomes 9x12 before the linear layer.
    assert sorted(map(str, kernels)) == sorted(map(str, [*expected, (9 * 12 * 32, 256)]))


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


def on_board(encoding, shape, actions, torso="board"):
    config = dataclasses.replace(
        TINY, torso=torso, action_encoding=encoding, dynamics_blocks=0, scale_hidden_state=False
    )
    return make_muzero_networks(
        spec_of(specs.Array(shape, np.float32), actions), HistoryConfig(), config
    )


def touched_cells(encoding, shape, actions, one, other):
    """Where the next state depends on whether action `one` or `other` is taken, `[H, W]`."""
    networks = on_board(encoding, shape, actions)
    params = noisy(networks.init(jax.random.PRNGKey(0)))
    state = networks.representation(params, observation_for(shape, np.float32))
    after = [networks.dynamics(params, state, jnp.full(2, action))[0] for action in (one, other)]
    return np.abs(after[0] - after[1]).max(axis=(0, -1)) > 1e-5


def test_an_action_enters_at_its_cell():
    expected = np.zeros((4, 5), bool)
    expected[0:2, 0:2] = expected[2:4, 2:5] = True  # a 3x3 kernel around (0, 0) and (3, 3)
    np.testing.assert_array_equal(touched_cells("cell", (4, 5, 2), 20, 0, 18), expected)
    expected[2:4, 2:5] = False
    np.testing.assert_array_equal(touched_cells("cell", (4, 5, 2), 21, 0, 20), expected)  # a pass


def test_an_action_enters_along_its_column():
    expected = np.zeros((3, 7), bool)
    expected[:, 0:2] = expected[:, 4:7] = True
    np.testing.assert_array_equal(touched_cells("column", (3, 7, 2), 7, 0, 5), expected)
    assert touched_cells("planes", (3, 7, 2), 7, 0, 5).all()


@pytest.mark.parametrize(
    ("encoding", "torso", "actions", "message"),
    [
        ("column", "board", 6, "takes 7 actions, not 6"),
        ("cell", "board", 7, "takes 21 or 22 actions, not 7"),
        ("cell", "flat", 21, "needs torso 'board'"),
        ("row", "board", 3, "action_encoding must be one of planes, cell, column, not 'row'"),
    ],
)
def test_actions_without_a_place_on_the_board_are_refused(encoding, torso, actions, message):
    with pytest.raises(UserError, match=message):
        on_board(encoding, (3, 7, 2), actions, torso)
