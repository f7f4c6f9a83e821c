"""Visits of observations, against sets and counters of Python."""

import collections

import numpy as np

from mukoe.agents.ppo.visits import count_visits, first_visits, hashes_of, no_counts


def observations():
    """Returns observations of two parts, many of them equal, and a mask of 4 episodes each."""
    random = np.random.default_rng(3)
    inputs = {
        "image": random.integers(0, 2, (3, 40, 2, 1), dtype=np.uint8),
        "speed": random.choice(np.float32([-0.5, 0.0, 1e-6]), (3, 40, 1)),
    }
    mask = np.ones((3, 40), np.float32)
    mask[:, [7, 20, 33]] = 0
    return inputs, mask


def keys(inputs, row, step):
    return inputs["image"][row, step].tobytes(), float(inputs["speed"][row, step, 0])


def test_first_visits_are_those_of_a_set_per_episode():
    inputs, mask = observations()
    expected = np.zeros((3, 40), bool)
    for row in range(3):
        visited = set()
        for step in range(40):
            expected[row, step] = keys(inputs, row, step) not in visited
            visited.add(keys(inputs, row, step))
            if not mask[row, step]:
                visited = set()
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(first_visits(hashes_of(inputs), mask), expected)


def test_visits_are_counted_once_over_rollouts_that_share_a_row():
    inputs, _ = observations()
    counter, counts, hashes = collections.Counter(), no_counts(), hashes_of(inputs)
    for steps in (range(14), range(13, 27), range(26, 40)):
        counter.update(keys(inputs, row, step) for row in range(3) for step in steps[:-1])
        with_last = counter + collections.Counter(keys(inputs, row, steps[-1]) for row in range(3))
        counts, found = count_visits(counts, hashes[:, steps.start : steps.stop])
        expected = [[with_last[keys(inputs, row, step)] for step in steps] for row in range(3)]
        np.testing.assert_array_equal(found, expected)
    assert counts.sum() == 3 * 39


def test_one_hot_observations_have_counts_of_their_own():
    inputs = np.eye(512, dtype=np.float32)[None]
    _, counts = count_visits(no_counts(), hashes_of(inputs))
    np.testing.assert_array_equal(counts, 1)
