"""Demonstrations beside the sequences of the actors."""

import dataclasses

import dm_env
import numpy as np
import pytest
from dm_env import specs

from mukoe.agents.planning.losses import importance_weights
from mukoe.errors import UserError
from mukoe.replay.declaration import ReplayDeclaration, row_spec, zero_sample
from mukoe.replay.demonstrations import kept_episodes
from mukoe.replay.in_process import InProcessReplay
from mukoe.replay.in_process.mixture import MixedReplay
from mukoe.types import EnvironmentSpec, Row

SPEC = EnvironmentSpec(
    observations=specs.Array((1,), np.float32),
    actions=specs.DiscreteArray(2),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
)
ROWS = row_spec(SPEC, {})
DECLARATION = ReplayDeclaration(
    sequence_length=3,
    capacity=50,
    min_size=5,
    batch_size=8,
    samples_per_insert=4.0,
    demonstrated_fraction=0.25,
    sampler="prioritized",
)
DEMONSTRATED = 100.0


def fill(replay, first, steps, episodes=1):
    """Adds episodes whose observations count from `first`."""
    adder = replay.make_adder()
    for episode in range(episodes):
        adder.add_first(dm_env.restart(np.float32([first])))
        for t in range(1, steps + 1):
            value = np.float32([first + episode * steps + t])
            step = dm_env.termination if t == steps else dm_env.transition
            adder.add(np.int32(0), step(1.0, value), {})


@pytest.fixture(params=["prioritized", "uniform"])
def mixture(request):
    declaration = dataclasses.replace(DECLARATION, sampler=request.param)
    acted = InProcessReplay(declaration.acted, ROWS, 0, 1)
    filled = declaration.filled(declaration.demonstrated_items, capacity=12)
    table = InProcessReplay(filled, ROWS, 1, 1)
    fill(acted, 0, 40)
    fill(table, DEMONSTRATED, 10)
    return MixedReplay(acted, table), acted, table


def test_each_sample_has_the_fraction_of_demonstrations(mixture):
    mixture, acted, table = mixture
    samples = [mixture.sample() for _ in range(50)]
    for sample in samples:
        is_demonstrated = sample.rows.observation[:, 0, 0] >= DEMONSTRATED
        np.testing.assert_array_equal(sample.demonstrated, is_demonstrated)
        np.testing.assert_array_equal(is_demonstrated, np.arange(8) < 2)
        assert sample.demonstrated.dtype == sample.probabilities.dtype == np.float32
    # All demonstrations are equally likely: 100 draws of 10 have a standard deviation of 3.
    drawn = np.concatenate([sample.rows.observation[:2, 0, 0] for sample in samples])
    counts = np.bincount(drawn.astype(int) - int(DEMONSTRATED), minlength=10)
    assert counts.sum() == 100 and counts.min() > 0 and counts.max() < 25
    # The rate limit of the actors' replay counts its own samples.
    assert (acted.sampled, table.sampled) == (300, 100)


def test_importance_weights_do_not_depend_on_the_sizes_of_the_tables(mixture):
    weights = importance_weights(mixture[0].sample().probabilities, 1.0)
    np.testing.assert_allclose(weights, np.ones(8), rtol=1e-6)


def test_priorities_go_to_the_table_of_each_item():
    acted = InProcessReplay(DECLARATION.acted, ROWS, 0, 1)
    table = InProcessReplay(DECLARATION.filled(2, capacity=12), ROWS, 1, 1)
    fill(acted, 0, 40)
    fill(table, DEMONSTRATED, 10)
    mixture = MixedReplay(acted, table)
    # Keys of both tables count from 0.
    keys = np.arange(10, dtype=np.uint64)
    for first in range(0, 40, 6):
        asked = np.concatenate([keys[:2] * 0 + 3, np.arange(first, first + 6, dtype=np.uint64)])
        mixture.update_priorities(asked, np.where(asked == 7, 1.0, 0.0))
    for key in keys:
        mixture.update_priorities(
            np.concatenate([[key, key], np.full(6, 7)]).astype(np.uint64),
            np.concatenate([np.full(2, float(key == 4)), np.ones(6)]),
        )
    sample = mixture.sample()
    np.testing.assert_array_equal(sample.keys, [4] * 2 + [7] * 6)
    np.testing.assert_array_equal(sample.rows.observation[:, 0, 0], [104] * 2 + [7] * 6)
    np.testing.assert_allclose(sample.probabilities, [10] * 2 + [40] * 6)


def test_learners_compile_for_a_sample_with_demonstrations():
    sample, whole = zero_sample(DECLARATION, ROWS), zero_sample(DECLARATION.acted, ROWS)
    assert sample.demonstrated.shape == (8,) and sample.rows.mask.shape == (8, 3)
    assert whole.demonstrated == () and whole.rows.mask.shape == (6, 3)


@pytest.mark.parametrize("fraction", [-0.25, 0.01, 0.99, 1.0, 2.0])
def test_batches_without_room_for_both_are_refused(fraction):
    with pytest.raises(UserError, match="demonstrated_fraction is .* at least one demonstration"):
        dataclasses.replace(DECLARATION, demonstrated_fraction=fraction)


def test_demonstrations_are_not_for_online_items():
    with pytest.raises(UserError, match="demonstrated_fraction .* 0 with online items"):
        dataclasses.replace(DECLARATION, online_fraction=0.25)


def episode(steps, reward):
    zeros = np.zeros(steps + 1, np.float32)
    mask = np.float32(np.arange(steps + 1) < steps)
    # The reward of the final row does not count.
    rewards = np.full(steps + 1, reward / steps, np.float32)
    return Row(zeros[:, None], zeros.astype(np.int32), rewards, zeros, mask, {})


@pytest.mark.parametrize(
    "capacity, remover, kept",
    [
        (None, "oldest", [0, 1, 2, 3]),
        (None, "worst", [0, 1, 2, 3]),
        (14, "worst", [0, 1, 2, 3]),
        (13, "oldest", [1, 2, 3]),
        (13, "worst", [0, 2, 3]),
        (9, "oldest", [2, 3]),
        # The older one of two with the same return is removed.
        (9, "worst", [2, 3]),
        (5, "oldest", [3]),
        (5, "worst", [2]),
    ],
)
def test_a_table_keeps_the_newest_or_the_best_episodes(capacity, remover, kept):
    returns = [3.0, -1.0, 9.0, 3.0]
    lengths = [4, 2, 5, 3]
    episodes = [episode(*pair) for pair in zip(lengths, returns, strict=True)]
    assert kept_episodes(episodes, capacity, remover) == kept


@pytest.mark.parametrize("remover", ["oldest", "worst"])
def test_a_table_without_room_for_an_episode_is_refused(remover):
    with pytest.raises(UserError, match="demonstration_capacity 3 is below the 4 steps of one"):
        kept_episodes([episode(4, 1.0)], 3, remover)
