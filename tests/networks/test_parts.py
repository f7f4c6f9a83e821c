"""Observations of several parts as network inputs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from mukoe.agents.ppo.config import PPONetworkConfig
from mukoe.agents.ppo.networks import make_ppo_networks
from mukoe.errors import UserError
from mukoe.nests import take, zeros
from mukoe.networks.history import HistoryConfig, initial_history, push, stack, stack_rows
from mukoe.networks.inputs import encode_input, has_convolutions, named_parts, part_torso
from mukoe.networks.models import make_muzero_networks
from mukoe.networks.parts import PartsConfig
from mukoe.networks.torso import IMAGE
from mukoe.networks.torsos import TORSOS
from mukoe.types import ChoiceImage, SequenceArray, TokenArray
from tests.networks.tiny import TINY, random_params, spec_of

SPEC = {
    "picture": specs.BoundedArray((40, 40, 3), np.uint8, 0, 255),
    "cells": ChoiceImage((5, 5, 2), (4, 3)),
    "robot": (specs.Array((3,), np.float32), specs.Array((), np.float32)),
    "objects": SequenceArray(4, 2),
    "mission": TokenArray(6, 5),
}
ATTENTION = {
    "picture": "patch_transformer",
    "cells": "residual_attention",
    "objects": "entity_transformer",
    "mission": "entity_transformer",
}
PARTS = ("cells", "mission", "objects", "picture", "robot_0", "robot_1")


def observations(batch=3, seed=0):
    random = np.random.default_rng(seed)
    objects = random.normal(size=(batch, 4, 3)).astype(np.float32)
    objects[:, :2, 0], objects[:, 2:] = 1, 0
    mission = random.integers(1, 5, (batch, 6)).astype(np.int32)
    mission[:, 4:] = 0
    return {
        "picture": random.integers(0, 256, (batch, 40, 40, 3)).astype(np.uint8),
        "cells": random.integers(0, 3, (batch, 5, 5, 2)).astype(np.int8),
        "robot": (
            random.normal(size=(batch, 3)).astype(np.float32),
            random.normal(size=batch).astype(np.float32),
        ),
        "objects": objects,
        "mission": mission,
    }


def networks_of(agent, spec=SPEC, **parts):
    """Returns `init` and `apply`, whose output is one array `[B, N]`."""
    if agent == "ppo":
        config = PPONetworkConfig(hidden_sizes=(8,), width=8, parts=PartsConfig(**parts))
        networks = make_ppo_networks(spec_of(spec), HistoryConfig(), config)

        def apply(params, inputs):
            outputs, value = networks.apply(params, inputs)
            return jnp.concatenate([outputs, value[:, None]], axis=1)

        return networks.init, jax.jit(apply)
    config = dataclasses.replace(TINY, parts=PartsConfig(**parts))
    networks = make_muzero_networks(spec_of(spec), HistoryConfig(), config)
    return networks.init, jax.jit(networks.representation)


@pytest.mark.parametrize(
    ("agent", "combination", "torsos"),
    [
        ("ppo", "concatenate", ATTENTION),
        pytest.param("muzero", "sum", {}, marks=pytest.mark.slow),
        ("muzero", "attention", {}),
    ],
)
def test_every_part_has_a_gradient(agent, combination, torsos):
    init, apply = networks_of(agent, combination=combination, torsos=torsos)
    params, inputs = random_params(init), observations()
    gradients = jax.jit(jax.grad(lambda params: jnp.sum(jnp.sin(7 * apply(params, inputs)))))(
        params
    )
    for part in PARTS:
        modules = [name for name in gradients if f"part_{part}" in name]
        assert modules, part
        for name in modules:
            size = max(float(jnp.abs(leaf).max()) for leaf in gradients[name].values())
            assert size > 0, name


@pytest.mark.parametrize("torso", ["sequence", "entity_transformer"])
def test_padding_changes_nothing(torso):
    """Neither numbers in the rows of padding, nor the length of the padding."""
    torsos = {"part": torso}
    for spec, x in (
        (SequenceArray(4, 2), observations()["objects"]),
        (TokenArray(6, 5), observations()["mission"]),
    ):
        init, apply = networks_of("muzero", {"part": spec}, torsos=torsos)
        params = random_params(init)
        expected = apply(params, {"part": x})
        # Other entries do change the state.
        assert jnp.abs(expected - apply(params, {"part": x[::-1]})).max() > 1e-3
        if isinstance(spec, SequenceArray):
            changed = x.copy()
            changed[:, 2:, 1:] = 7.0
            np.testing.assert_array_equal(expected, apply(params, {"part": changed}))
        shorter = type(spec)(spec.shape[0] - 1, 2 if isinstance(spec, SequenceArray) else 5)
        _, apply_short = networks_of("muzero", {"part": shorter}, torsos=torsos)
        (positions,) = [name for name in params if "positions" in params[name]]
        short = {**params, positions: {"positions": params[positions]["positions"][:-1]}}
        np.testing.assert_allclose(expected, apply_short(short, {"part": x[:, :-1]}), atol=1e-5)


@pytest.mark.parametrize("torso", ["sequence", "entity_transformer"])
def test_the_order_of_entries_counts_and_a_sequence_may_be_empty(torso):
    spec = {"part": SequenceArray(4, 2)}
    init, apply = networks_of("muzero", spec, torsos={"part": torso})
    params, x = random_params(init), observations()["objects"]
    swapped = x[:, [1, 0, 2, 3]]
    assert jnp.abs(apply(params, {"part": x}) - apply(params, {"part": swapped})).max() > 1e-3
    assert jnp.isfinite(apply(params, {"part": 0 * x})).all()
    slopes = jax.grad(lambda params: jnp.sum(apply(params, {"part": 0 * x}) ** 2))(params)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))


def test_choices_become_one_hot_vectors():
    cells = np.array([[[[3, 0]]]], np.int8)
    encoded = encode_input(cells, ChoiceImage((1, 1, 2), (4, 3)))
    assert encoded[0, 0, 0].tolist() == [0, 0, 0, 1, 1, 0, 0]
    encoded = encode_input(np.array([[2, 0]], np.int32), TokenArray(2, 4))
    assert encoded[0].tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    "torso", [name for name in TORSOS.names if TORSOS[name].input_rank == IMAGE]
)
def test_torsos_with_convolutions_are_known(torso):
    spec = specs.BoundedArray((40, 40, 3), np.uint8, 0, 255)
    networks = make_muzero_networks(
        spec_of(spec), HistoryConfig(), dataclasses.replace(TINY, torso=torso)
    )
    params = jax.eval_shape(networks.init, jax.random.PRNGKey(0))
    representation = {name: module for name, module in params.items() if "representation" in name}
    ranks = {len(leaf.shape) for leaf in jax.tree.leaves(representation)}
    assert has_convolutions(torso, {}, spec) == (4 in ranks)


def test_torsos_of_parts():
    chosen = {name: part_torso("impala", spec) for name, spec in named_parts(SPEC).items()}
    assert chosen == {
        "cells": "grid",
        "mission": "sequence",
        "objects": "sequence",
        "picture": "impala",
        "robot/0": "mlp",
        "robot/1": "mlp",
    }
    # A torso that flattens everything takes no image.
    assert part_torso("tanh_mlp", SPEC["picture"]) == "nature_norm"
    assert part_torso("tanh_mlp", SPEC["robot"][0]) == "tanh_mlp"
    init, _ = networks_of("muzero", torsos={"picture": "small"})
    assert any(
        "part_picture/residual_block" in name
        for name in jax.eval_shape(init, jax.random.PRNGKey(0))
    )


@pytest.mark.parametrize(
    ("spec", "torsos", "message"),
    [
        (SPEC, {"pictures": "small"}, "no part of the observation; its parts are cells, mission"),
        (SPEC["robot"][0], {"x": "mlp"}, "it is one array"),
        (SPEC, {"picture": "mlp"}, "part 'picture': torso 'mlp' takes vectors"),
        (SPEC, {"cells": "nature"}, "part 'cells': .*at least 36x36, not 5x5"),
        ({"x": specs.Array((2, 2), np.float32)}, {}, r"part 'x' has shape \(2, 2\)"),
        (SPEC["objects"], {}, r"torso 'mlp' takes vectors, not .*\(4, 3\)"),
    ],
)
def test_torsos_that_do_not_fit_are_refused(spec, torsos, message):
    with pytest.raises(UserError, match=message):
        networks_of("muzero", spec, torsos=torsos)


def test_frames_of_parts_are_stacked_while_acting_as_while_learning():
    spec = {"cells": SPEC["cells"], "robot": SPEC["robot"][0]}
    config, steps = HistoryConfig(frames=3), 4
    rows = [{name: observations(2, seed)[name] for name in ("cells",)} for seed in range(steps)]
    for row, seed in zip(rows, range(steps), strict=True):
        row["robot"] = observations(2, seed)["robot"][0]
    padding = [zeros(spec, 2)] * 2
    frames = jax.tree.map(lambda *leaves: np.stack(leaves, 1), *padding, *rows)
    actions, mask = np.zeros((2, 6), np.int32), np.float32([[0, 0, 1, 1, 1, 1]] * 2)
    learned = stack_rows(frames, actions, mask, config, 3)
    history = initial_history(spec, config, 2)
    for step, row in enumerate(rows):
        acted = stack(history, row, config, 3)
        jax.tree.map(np.testing.assert_array_equal, acted, take(learned, slice(None), step))
        history = push(history, row, np.zeros(2, np.int32))
    config = dataclasses.replace(TINY, parts=PartsConfig())
    networks = make_muzero_networks(spec_of(spec), HistoryConfig(frames=3), config)
    params = networks.init(jax.random.PRNGKey(0))
    assert networks.representation(params, acted).shape == (2, 8)


@pytest.mark.parametrize(
    ("spec", "config", "message"),
    [
        (SPEC, HistoryConfig(frames=2), "not texts or sequences|not single numbers"),
        (
            {"a": SPEC["robot"][0]},
            HistoryConfig(frames=2, action_planes=True),
            "planes of past actions need an observation of one array",
        ),
    ],
)
def test_histories_that_parts_cannot_have(spec, config, message):
    with pytest.raises(UserError, match=message):
        make_muzero_networks(spec_of(spec), config, TINY)
