"""Torsos: shapes, layers, and inputs that they refuse."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mukoe.errors import UserError
from mukoe.networks.config import NetworkConfig
from mukoe.networks.history import HistoryConfig
from mukoe.networks.torso import IMAGE
from mukoe.networks.torsos import TORSOS, MLPTorso
from tests.networks.tiny import ACTIONS, observation_for, parameter_shapes, random_params, tiny


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
        ("minatar", (10, 9, 4), np.bool_, (8,)),
        ("nature", (36, 40, 1), np.uint8, (8,)),
        ("nature_norm", (36, 40, 1), np.uint8, (8,)),
        ("tanh_mlp", (3, 2), np.float32, (8,)),
        ("patch_transformer", (96, 84, 3), np.uint8, (8, 7, 8)),
        ("patch_transformer", (6, 7, 2), np.int8, (6, 7, 8)),
        ("residual_attention", (96, 64, 3), np.uint8, (6, 4, 8)),
        ("residual_attention", (6, 7, 2), np.int8, (6, 7, 8)),
        ("entity_transformer", (5, 3), np.float32, (8,)),
    ],
)
def test_shapes_of_every_torso(torso, shape, dtype, state):
    networks = tiny(torso, shape, dtype)
    params = jax.eval_shape(networks.init, jax.random.PRNGKey(0))
    first = jax.eval_shape(networks.representation, params, observation_for(shape, dtype))
    assert first.shape == (2, *state)
    assert first.dtype == jnp.float32
    prediction = jax.eval_shape(networks.prediction, params, first)
    assert prediction.policy_logits.shape == (2, ACTIONS)
    assert prediction.value_logits.shape == (2, 11)
    second, reward_logits = jax.eval_shape(networks.dynamics, params, first, jnp.array([0, 2]))
    assert second.shape == first.shape
    assert reward_logits.shape == (2, 5)
    assert networks.action_space.size == ACTIONS


def test_minatar_torso_has_the_layers_of_the_paper():
    networks = tiny("minatar", (10, 10, 4), np.bool_, width=64)
    shapes = parameter_shapes(networks.init(jax.random.PRNGKey(0))).values()
    assert (3, 3, 4, 16) in shapes  # Without padding, 8x8 places remain.
    assert any(shape[0] == 8 * 8 * 16 for shape in shapes)


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


def test_new_mlp_sees_how_large_its_input_is():
    networks = tiny("mlp", (4,))
    params = networks.init(jax.random.PRNGKey(0))
    x = jnp.array([[0.1, -0.2, 0.3, 0.4]])
    near, far = (networks.representation(params, scale * x) for scale in (1.0, 5.0))
    assert float(jnp.max(jnp.abs(near - far))) > 0.05


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


@pytest.mark.parametrize(
    "torso, shape, message",
    [
        (
            "mlp",
            (64, 64, 3),
            "'mlp' takes vectors.*'board', 'small', .*'residual_attention' take",
        ),
        ("mlp", (10, 5), "'mlp' takes vectors.*flatten"),
        ("small", (4,), "'small' takes images.*'mlp' takes vectors"),
        ("large", (84, 84), "'large' takes images.*axis of channels"),
        ("board", (), "'board' takes images.*'mlp' takes vectors"),
        ("small", (10, 10, 4), "at least 32x32, not 10x10; torso 'board' takes any size"),
        ("large", (96, 16, 3), "at least 32x32, not 96x16"),
        ("nature", (35, 40, 3), "at least 36x36, not 35x40"),
        ("huge", (4,), "unknown torso 'huge': known are mlp, tanh_mlp, flat, board, small"),
    ],
)
def test_misfits_are_refused_with_what_would_fit(torso, shape, message):
    with pytest.raises(UserError, match=message) as error:
        tiny(torso, shape)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "torso", [name for name in TORSOS.names if TORSOS[name].input_rank == IMAGE]
)
def test_different_images_of_the_least_size_have_different_features(torso):
    config = NetworkConfig(torso=torso, hidden_sizes=(8, 8, 8), width=8)
    model = hk.without_apply_rng(hk.transform(lambda x: TORSOS[torso](config)(x)))
    size = TORSOS[torso].least_size
    images = jax.random.uniform(jax.random.PRNGKey(0), (2, size, size, 1))
    first, second = model.apply(model.init(jax.random.PRNGKey(1), images), images)
    assert first.size and float(jnp.max(jnp.abs(first - second))) > 1e-3


@pytest.mark.parametrize(
    "torso", ["patch_transformer", pytest.param("residual_attention", marks=pytest.mark.slow)]
)
def test_all_places_of_a_torso_with_attention_see_the_whole_image(torso):
    config = NetworkConfig(torso=torso, hidden_sizes=(8,), width=8)
    model = hk.without_apply_rng(hk.transform(lambda x: TORSOS[torso](config)(x)))
    images = jax.random.uniform(jax.random.PRNGKey(0), (1, 5, 4, 2))
    params = random_params(model.init, images)

    def corner(params, images):
        return jnp.sum(jnp.sin(7 * model.apply(params, images)[:, -1, -1]))

    of_params, of_images = jax.jit(jax.grad(corner, argnums=(0, 1)))(params, images)
    assert np.abs(of_images).min() > 0
    for path, gradient in jax.tree_util.tree_leaves_with_path(of_params):
        # A bias of all keys does not change the attention.
        assert np.abs(gradient).max() > 0 or "key" in str(path), path


def test_patches_are_squares_of_the_image():
    """Pixels of one patch change its token alone, without blocks of attention."""
    config = NetworkConfig(hidden_sizes=(), width=4)
    model = hk.without_apply_rng(hk.transform(lambda x: TORSOS["patch_transformer"](config)(x)))
    image = jax.random.normal(jax.random.PRNGKey(0), (1, 20, 10, 2))
    params = model.init(jax.random.PRNGKey(1), image)
    changed = image.at[0, 5, 9, 0].add(1.0)
    difference = jnp.abs(model.apply(params, changed) - model.apply(params, image)).max(-1)[0]
    assert difference.shape == (7, 4)  # Patches of 3x3.
    assert np.argwhere(difference > 0).tolist() == [[1, 3]]


class SquaredTorso(MLPTorso):
    """Torso of another module, with a hidden layer of its own."""

    def __call__(self, x):
        return super().__call__(hk.Linear(5, name="own")(x**2))


def test_a_torso_of_another_module():
    networks = tiny("tests.networks.test_torsos:SquaredTorso", (4,))
    params = networks.init(jax.random.PRNGKey(0))
    assert "representation/squared_torso/own" in params
    x = observation_for((4,), np.float32)
    np.testing.assert_array_equal(
        networks.representation(params, x), networks.representation(params, -x)
    )


def test_features_of_another_width_are_refused():
    tiny("tanh_mlp", (4,), hidden_sizes=(16, 8)).init(jax.random.PRNGKey(0))
    networks = tiny("tanh_mlp", (4,), hidden_sizes=(16,))
    with pytest.raises(UserError, match="'tanh_mlp' gives 16 channels.*network.width=8"):
        networks.init(jax.random.PRNGKey(0))
