"""Stacking while acting, and from rows while learning, against each other and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from mukoe.errors import UserError
from mukoe.networks.history import (
    HistoryConfig,
    initial_history,
    input_spec,
    push,
    stack,
    stack_rows,
)

NUM_ACTIONS = 4
IMAGE = specs.Array((5, 6, 2), np.uint8)


def act_through(frames, actions, first, config, spec):
    """Stacks step by step as a policy does, starting afresh where `first [T, B]`."""
    batch_size = frames.shape[1]
    fresh = initial_history(spec, config, batch_size)
    history = fresh
    inputs = []
    for frame, action, start in zip(frames, actions, first, strict=True):
        history = jax.tree.map(
            lambda new, old, start=start: jnp.where(
                start.reshape((-1,) + (1,) * (old.ndim - 1)), new, old
            ),
            fresh,
            history,
        )
        inputs.append(stack(history, frame, config, NUM_ACTIONS))
        history = push(history, frame, action)
    return np.stack(inputs)


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("shape, dtype", [((5, 6, 2), np.uint8), ((3,), np.float32)])
def test_acting_equals_stored_rows_across_a_reset(planes, shape, dtype):
    config = HistoryConfig(frames=4, action_planes=planes)
    spec = specs.Array(shape, dtype)
    rng = np.random.default_rng(0)
    # Two environments: one starts a new episode at step 5, the other at step 2.
    steps, starts = 9, (5, 2)
    frames = rng.integers(1, 255, (steps, 2, *shape)).astype(dtype)
    actions = rng.integers(0, NUM_ACTIONS, (steps, 2))
    first = np.zeros((steps, 2), bool)
    first[0] = True
    first[starts, (0, 1)] = True
    acted = act_through(frames, actions, first, config, spec)
    for b, start in enumerate(starts):
        for begin, end in [(0, start), (start, steps)]:
            pad = config.frames - 1
            rows = np.concatenate([np.zeros((pad, *shape), dtype), frames[begin:end, b]])
            row_actions = np.concatenate([np.zeros(pad, int), actions[begin:end, b]])
            mask = np.concatenate([np.zeros(pad), np.ones(end - begin)])
            learned = stack_rows(rows[None], row_actions[None], mask[None], config, NUM_ACTIONS)
            assert learned.shape == (1, end - begin, *input_spec(spec, config).shape)
            assert learned.dtype == input_spec(spec, config).dtype
            np.testing.assert_array_equal(learned[0], acted[begin:end, b])


def test_layout_by_hand():
    config = HistoryConfig(frames=3, action_planes=True)
    frames = np.array([0, 51, 102, 255], np.uint8).reshape(1, 4, 1, 1, 1)
    actions = np.array([[0, 0, 3, 1]])
    mask = np.array([[0.0, 1.0, 1.0, 1.0]])
    inputs = stack_rows(frames, actions, mask, config, NUM_ACTIONS)
    # Frames oldest first, then the planes (a + 1) / A of the two past actions.
    expected = [[0.0, 0.2, 0.4, 0.0, 0.25], [0.2, 0.4, 1.0, 0.25, 1.0]]
    np.testing.assert_allclose(inputs[0, :, 0, 0], expected, rtol=1e-6)


def test_padding_counts_as_zero_whatever_it_holds():
    config = HistoryConfig(frames=2, action_planes=True)
    frames = np.full((1, 2, 1, 1, 1), 255, np.uint8)
    inputs = stack_rows(frames, np.array([[2, 2]]), np.array([[0.0, 1.0]]), config, NUM_ACTIONS)
    np.testing.assert_allclose(inputs[0, 0, 0, 0], [0.0, 1.0, 0.0])


def test_final_observation_is_seen_although_its_mask_is_zero():
    config = HistoryConfig(frames=2)
    frames = np.array([3, 7], np.uint8).reshape(1, 2, 1, 1, 1)
    inputs = stack_rows(frames, np.zeros((1, 2), int), np.array([[1.0, 0.0]]), config, NUM_ACTIONS)
    np.testing.assert_array_equal(inputs[0, 0, 0, 0], [3, 7])


def test_one_frame_is_the_identity():
    config = HistoryConfig()
    frame = np.arange(60, dtype=np.uint8).reshape(1, 5, 6, 2)
    history = initial_history(IMAGE, config, 1)
    assert history == ()
    np.testing.assert_array_equal(stack(history, frame, config, NUM_ACTIONS), frame)
    assert push(history, frame, np.zeros(1, int)) == ()
    rows = np.stack([frame, frame], axis=1)
    same = stack_rows(rows, np.zeros((1, 2), int), np.ones((1, 2)), config, NUM_ACTIONS)
    np.testing.assert_array_equal(same, rows)


def test_initial_history_is_zero_and_typed():
    history = initial_history(IMAGE, HistoryConfig(frames=4), 3)
    assert history.frames.shape == (3, 3, 5, 6, 2)
    assert history.frames.dtype == np.uint8
    assert history.actions.shape == (3, 3)
    assert history.actions.dtype == np.int32
    assert history.valid.dtype == np.float32
    assert not any(np.any(x) for x in history)


def test_push_drops_the_oldest_and_keeps_types():
    history = initial_history(IMAGE, HistoryConfig(frames=3), 1)
    for i in range(1, 4):
        history = push(history, np.full((1, 5, 6, 2), i, np.uint8), np.array([i], np.int64))
    np.testing.assert_array_equal(history.frames[0, :, 0, 0, 0], [2, 3])
    np.testing.assert_array_equal(history.actions[0], [2, 3])
    np.testing.assert_array_equal(history.valid[0], [1.0, 1.0])
    assert history.frames.dtype == np.uint8
    assert history.actions.dtype == np.int32


def test_works_under_jit():
    config = HistoryConfig(frames=2, action_planes=True)
    stacked = jax.jit(lambda f, a, m: stack_rows(f, a, m, config, NUM_ACTIONS))(
        np.ones((2, 4, 3), np.float32), np.zeros((2, 4), int), np.ones((2, 4))
    )
    assert stacked.shape == (2, 3, 7)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: HistoryConfig(frames=0), "frames must be from 1 to"),
        (lambda: HistoryConfig(frames=1, action_planes=True), "at least 2 frames"),
        (
            lambda: initial_history(specs.Array((), np.float32), HistoryConfig(frames=2), 1),
            "axis to stack along",
        ),
    ],
)
def test_impossible_histories_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize("action_planes", [False, True])
def test_nothing_is_seen_of_the_episode_before(action_planes):
    """Two episodes in one sequence, as in a rollout: both are stacked as if they were alone."""
    config = HistoryConfig(frames=4, action_planes=action_planes)
    random = np.random.default_rng(0)
    frames = random.integers(0, 255, (1, 11, 2, 2, 1)).astype(np.uint8)
    actions = random.integers(0, 5, (1, 11)).astype(np.int32)
    # Padding, four steps, the final observation, and three steps of the next episode.
    mask = np.array([[0, 0, 0, 1, 1, 1, 1, 0, 1, 1, 1]], np.float32)
    got = stack_rows(frames, actions, mask, config, 5)

    def alone(start, end):
        parts = (frames, actions, mask)
        cut = [np.concatenate([0 * part[:, :3], part[:, start:end]], axis=1) for part in parts]
        return stack_rows(*cut, config, 5)

    np.testing.assert_array_equal(got[:, :5], alone(3, 8))
    np.testing.assert_array_equal(got[:, 5:], alone(8, 11))
