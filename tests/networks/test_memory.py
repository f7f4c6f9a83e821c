"""Memories: steps against sequences, episodes, windows, gradients and state."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from mukoe.configuration.fields import Validated
from mukoe.errors import UserError
from mukoe.nests import take, tree_where
from mukoe.networks.config import NetworkConfig
from mukoe.networks.memory import (
    MEMORY,
    MemoryConfig,
    behind_memory,
    episode_starts,
    make_memory,
    with_memory_params,
)
from mukoe.types import ChoiceImage, TokenArray
from tests.networks.tiny import TINY, random_params

# The two cells differ in one line.
CORES = (pytest.param("gru", marks=pytest.mark.slow), "lstm", "transformer")
WINDOW, BLOCKS, BATCH, STEPS = 4, 2, 3, 12
VECTOR = specs.Array((5,), np.float32)
PARTS = {"image": ChoiceImage((3, 3, 2), (4, 3)), "text": TokenArray(4, 6)}


@functools.cache
def make(core, precision="float32", parts=False):
    config = MemoryConfig(core=core, size=8, window=WINDOW, blocks=BLOCKS, heads=2)
    network = dataclasses.replace(TINY, precision=precision)
    memory = make_memory(config, network, PARTS if parts else VECTOR)
    memory = dataclasses.replace(memory, encode=jax.jit(memory.encode))
    return memory, random_params(memory.init)


def inputs_and_starts(parts=False, probability=0.2):
    random = np.random.default_rng(0)
    is_first = random.random((BATCH, STEPS)) < probability
    if not parts:
        return random.normal(size=(BATCH, STEPS, 5)).astype(np.float32), is_first
    image = random.integers(0, 3, (BATCH, STEPS, 3, 3, 2)).astype(np.int8)
    return {"image": image, "text": random.integers(0, 6, (BATCH, STEPS, 4))}, is_first


def act(memory, params, inputs, is_first, state):
    """Encodes step by step, as an actor does."""
    initial, encoded = memory.initial_state(is_first.shape[0]), []
    for step in range(is_first.shape[1]):
        state = tree_where(is_first[:, step], initial, state)
        output, state = memory.step(params, take(inputs, slice(None), step), state)
        encoded.append(output)
    return np.stack(encoded, axis=1), state


@pytest.mark.parametrize(
    ("core", "parts"), [("lstm", False), ("transformer", False), ("gru", True)]
)
def test_steps_equal_the_sequence_across_episode_ends(core, parts):
    memory, params = make(core, parts=parts)
    inputs, is_first = inputs_and_starts(parts)
    whole, last = memory.encode(params, inputs, is_first, memory.initial_state(BATCH))
    steps, state = act(memory, params, inputs, is_first, memory.initial_state(BATCH))
    assert np.std(whole) > 0.05
    np.testing.assert_allclose(steps, whole, atol=1e-5)
    for left, right in zip(jax.tree.leaves(state), jax.tree.leaves(last), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)
    # From a state in the middle of an episode.
    part, rest = slice(0, 6), slice(6, None)
    _, middle = memory.encode(
        params, take(inputs, slice(None), part), is_first[:, part], memory.initial_state(BATCH)
    )
    later, _ = memory.encode(params, take(inputs, slice(None), rest), is_first[:, rest], middle)
    np.testing.assert_allclose(later, whole[:, rest], atol=1e-5)


@pytest.mark.parametrize("core", CORES)
def test_an_episode_does_not_see_the_one_before(core):
    memory, params = make(core)
    inputs, _ = inputs_and_starts()
    is_first = np.zeros((BATCH, STEPS), bool)
    is_first[:, 6] = True
    encode = functools.partial(memory.encode, params)
    whole, _ = encode(inputs, is_first, memory.initial_state(BATCH))
    changed, _ = encode(
        np.concatenate([inputs[:, :6] + 1.0, inputs[:, 6:]], 1),
        is_first,
        memory.initial_state(BATCH),
    )
    np.testing.assert_array_equal(whole[:, 6:], changed[:, 6:])
    alone, _ = encode(inputs[:, 6:], is_first[:, 6:], memory.initial_state(BATCH))
    np.testing.assert_allclose(whole[:, 6:], alone, atol=1e-5)
    # Nor a step those that follow it.
    assert np.abs(whole[:, :6] - changed[:, :6]).min() > 0
    later, _ = encode(
        np.concatenate([inputs[:, :9], inputs[:, 9:] + 1.0], 1),
        is_first,
        memory.initial_state(BATCH),
    )
    np.testing.assert_array_equal(whole[:, :9], later[:, :9])


@pytest.mark.parametrize("core", CORES)
def test_gradients_reach_first_step_and_all_parameters(core):
    memory, params = make(core)
    inputs, _ = inputs_and_starts()
    # The last step that sees the first one through every block.
    seen = BLOCKS * (WINDOW - 1) + 1 if core == "transformer" else STEPS

    def last(params, inputs, step):
        is_first = jnp.zeros(inputs.shape[:2], bool)
        encoded, _ = memory.encode(params, inputs, is_first, memory.initial_state(BATCH))
        return jnp.sum(encoded[:, step] ** 3)

    of_params, of_inputs = jax.grad(last, argnums=(0, 1))(params, inputs, seen - 1)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(of_params))
    assert np.abs(of_inputs[:, 0]).max() > 0
    if core == "transformer":
        beyond = jax.grad(last, argnums=1)(params, inputs, seen)
        assert np.abs(beyond[:, 0]).max() == 0


def attention_in_numpy(params, x, index):
    """Block `index` on one episode `[T, size]`, with a loop over steps, heads and distances."""

    def named(name):
        return {
            k: np.asarray(v, np.float64) for k, v in params[f"memory/transformer/{name}"].items()
        }

    def norm(x, name):
        p = named(name)
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * p["scale"] + p["offset"]

    block = f"block_{index}"
    y = norm(x, f"{block}/attention_norm")
    q, k, v = (y @ named(f"{block}/{name}")["w"] for name in ("query", "key", "value"))
    heads, width = 2, x.shape[1] // 2
    means = np.zeros_like(x)
    turns = 10_000.0 ** (-np.arange(width // 2) / (width // 2))
    for t in range(len(x)):
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            seen = range(max(0, t - WINDOW + 1), t + 1)
            logits = []
            for j in seen:
                # Only the distance counts: the query is rotated, the key is not.
                angle = (t - j) * turns
                a, b = np.split(q[t, part], 2)
                turned = [a * np.cos(angle) - b * np.sin(angle)]
                turned += [a * np.sin(angle) + b * np.cos(angle)]
                logits.append(np.concatenate(turned) @ k[j, part] / np.sqrt(width))
            weights = np.exp(np.array(logits) - max(logits))
            means[t, part] = (weights / weights.sum()) @ v[list(seen), part]
    p = named(f"{block}/attention")
    x = x + means @ p["w"] + p["b"]
    hidden = norm(x, f"{block}/hidden_norm") @ named(f"{block}/hidden")["w"]
    hidden = np.asarray(jax.nn.gelu(hidden + named(f"{block}/hidden")["b"]))
    return x + hidden @ named(f"{block}/output")["w"] + named(f"{block}/output")["b"]


def test_transformer_attends_to_a_band_by_distance():
    memory, params = make("transformer")
    inputs, _ = inputs_and_starts()
    is_first = np.zeros((BATCH, STEPS), bool)
    encoded, _ = memory.encode(params, inputs, is_first, memory.initial_state(BATCH))
    torso = make_memory_torso(params)
    x = np.asarray(torso(inputs[0]), np.float64)
    for index in range(BLOCKS):
        x = attention_in_numpy(params, x, index)
    final = params["memory/transformer/output_norm"]
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(encoded[0], x * final["scale"] + final["offset"], atol=1e-4)


def test_attention_is_exact_in_long_episodes():
    """Angles of float32 places would be wrong by a tenth of a turn after a million steps."""
    memory, params = make("transformer")
    inputs, _ = inputs_and_starts()
    is_first = np.zeros((BATCH, STEPS), bool)
    start = memory.initial_state(BATCH)
    early, state = memory.encode(params, inputs, is_first, start)
    assert state["place"].tolist() == BATCH * [STEPS]
    late, _ = memory.encode(params, inputs, is_first, {**start, "place": start["place"] + 10**6})
    np.testing.assert_allclose(early, late, atol=1e-5)


def make_memory_torso(params):
    """The part of the memory in front of the blocks, from its parameters."""

    def torso(x):
        p = {name.removeprefix("memory/mlp_torso/"): value for name, value in params.items()}
        x = x @ p["linear"]["w"] + p["linear"]["b"]
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        x = np.maximum(x * p["layer_norm"]["scale"] + p["layer_norm"]["offset"], 0)
        x = np.maximum(x @ p["linear_1"]["w"] + p["linear_1"]["b"], 0)
        first = params["memory/transformer/input"]
        return x @ first["w"] + first["b"]

    return torso


@pytest.mark.parametrize("core", ["gru", pytest.param("transformer", marks=pytest.mark.slow)])
def test_half_precision_is_near_and_keeps_the_state_in_float32(core):
    memory, params = make(core)
    half, _ = make(core, precision="bfloat16")
    inputs, is_first = inputs_and_starts()
    whole, _ = memory.encode(params, inputs, is_first, memory.initial_state(BATCH))
    near, state = half.encode(params, inputs, is_first, half.initial_state(BATCH))
    if core == "transformer":
        assert state.pop("place").dtype == np.int32
    assert {leaf.dtype for leaf in jax.tree.leaves((near, state))} == {np.dtype(np.float32)}
    assert 0 < np.abs(near - whole).max() < 0.1 * np.abs(whole).max()


@pytest.mark.parametrize("core", CORES)
def test_state_has_one_shape(core):
    """Nothing is compiled again at the second step, and rows can store a small state."""
    memory, params = make(core)
    inputs, is_first = inputs_and_starts()
    start = memory.initial_state(BATCH)
    _, state = memory.encode(params, inputs, is_first, start)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(
        lambda x: (x.shape, x.dtype), start
    )
    if core == "transformer":
        assert memory.state_spec is None
    else:
        assert state.shape == (BATCH, *memory.state_spec.shape)


def test_starts_follow_the_rows_without_an_action():
    mask = np.array([[0, 0, 1, 1, 0, 1], [1, 1, 1, 1, 1, 0]], np.float32)
    expected = [[0, 1, 1, 0, 0, 1], [0, 0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(episode_starts(mask), np.array(expected, bool))


def test_networks_behind_a_memory_take_its_vector():
    memory, _ = make("gru")
    assert behind_memory(TINY, memory) == TINY
    image = dataclasses.replace(TINY, torso="impala")
    assert behind_memory(image, memory).torso == "mlp"
    both = with_memory_params(lambda key: {"network": key}, memory)(jax.random.PRNGKey(0))
    assert {name.split("/")[0] for name in both} == {"network", MEMORY}


def test_bad_memories_are_refused():
    with pytest.raises(UserError, match=r"memory\.size \(10\) must be a multiple"):
        MemoryConfig(core="transformer", size=10, heads=2)
    with pytest.raises(UserError, match="normalize_observations"):
        make_memory(MemoryConfig(core="gru"), NetworkConfig(), VECTOR, normalized=True)
    assert make_memory(MemoryConfig(), NetworkConfig(), VECTOR) is None
    assert issubclass(MemoryConfig, Validated)
