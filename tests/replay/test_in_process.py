"""The replay of one process: its items, its sampling, its memory."""

import collections
import threading
import time

import jax
import numpy as np
import pytest

from mukoe import system as memory
from mukoe.errors import UserError
from mukoe.replay import in_process
from mukoe.replay.declaration import zero_sample
from mukoe.replay.in_process import InProcessReplay, ReplayTimeoutError, bytes_required
from tests.replay.episodes import (
    ROW_SPEC,
    as_key,
    declare,
    expected_items,
    extras,
    items_of,
    only_observed,
    play,
    record,
    reward,
    stack,
    steps,
)


def make(seed=0, num_streams=8, **changes):
    return InProcessReplay(declare(**changes), ROW_SPEC, seed, num_streams)


def every_item(replay):
    """All items that can be drawn, by key, from many samples."""
    items = {}
    for _ in range(50):
        keys, _, rows = replay.sample()[:3]
        for b, key in enumerate(keys.tolist()):
            if key not in items:
                items[key] = jax.tree.map(lambda leaf, b=b: leaf[b], rows)
        if len(items) == replay.size:
            break
    return [items[key] for key in sorted(items)]


def assert_same_items(actual, expected):
    assert [as_key(item) for item in actual] == [as_key(item) for item in expected]


@pytest.mark.parametrize("truncated", [False, True])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 11])
@pytest.mark.parametrize(("history", "size"), [(0, 2), (0, 4), (2, 4), (5, 3)])
def test_each_step_starts_one_item(length, truncated, history, size):
    replay = make(history=history, sequence_length=size)
    record(replay.make_adder(), 0, 0, length, truncated)
    assert replay.inserted == length
    assert_same_items(every_item(replay), expected_items(0, 0, length, history, size, truncated))


def test_five_steps_by_hand():
    replay = make(history=1, sequence_length=4)
    record(replay.make_adder(), stream=0, episode=0, length=5)
    items = every_item(replay)
    first, last = items[0], items[4]
    np.testing.assert_array_equal(first.mask, [0, 1, 1, 1, 1])
    np.testing.assert_array_equal(first.action, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(first.reward, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(first.discount, [0, 1, 1, 1, 1])
    np.testing.assert_array_equal(first.observation[:, 2], [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(last.mask, [1, 1, 0, 0, 0])
    np.testing.assert_array_equal(last.reward, [4, 5, 0, 0, 0])
    np.testing.assert_array_equal(last.discount, [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(last.observation[:, 2], [4, 5, 6, 0, 0])
    np.testing.assert_array_equal(last.extras["search_value"], [3.5, 4.5, 5.5, 0, 0])


def test_truncation_keeps_its_discount_and_needs_the_value_there():
    replay = make()
    adder = replay.make_adder()
    record(adder, 0, 0, 3, truncated=True)
    last = every_item(replay)[-1]
    assert last.discount[replay.declaration.history] == 1
    first, (action, timestep, at, _) = steps(0, 1, 1, truncated=True)
    adder.add_first(*first)
    with pytest.raises(ValueError, match="final_extras"):
        adder.add(action, timestep, at, None)


def test_termination_without_final_extras_stores_zeros():
    replay = make(history=0, sequence_length=2)
    adder = replay.make_adder()
    first, (action, timestep, at, _) = steps(0, 0, 1)
    adder.add_first(*first)
    adder.add(action, timestep, at)
    (item,) = every_item(replay)
    np.testing.assert_array_equal(item.extras["search_value"], [0.5, 0])
    np.testing.assert_array_equal(item.observation[1], [1, 1, 2])


def test_items_come_while_the_episode_runs():
    replay = make(sequence_length=4)
    adder = replay.make_adder()
    counts = []
    for call in steps(0, 0, 6):
        play(adder, call)
        counts.append(replay.inserted)
    assert counts == [0, 0, 0, 0, 1, 2, 6]


def test_reset_drops_the_rest_of_an_episode_and_frees_its_rows():
    replay = make(sequence_length=3, history=1, capacity=4, num_streams=1)
    adder = replay.make_adder()
    for episode in range(500):  # Leaked rows would fill the pool.
        for call in steps(0, episode, 9)[:6]:
            play(adder, call)
        adder.reset()
    record(adder, 0, 500, 4)
    assert_same_items(every_item(replay), expected_items(0, 500, 4, 1, 3))


def test_mistakes_are_told():
    adder = make().make_adder()
    first, second, *_ = steps(0, 0, 5)
    with pytest.raises(ValueError, match="add_first"):
        play(adder, second)
    play(adder, first)
    with pytest.raises(ValueError, match="running"):
        play(adder, first)
    action, timestep, at, _ = second
    with pytest.raises(ValueError, match="observation"):
        adder.add(action, timestep._replace(observation=np.zeros(2, np.float32)), at)


class NaiveReplay:
    """A list of (episode, start) in the order of their coming; the oldest leave."""

    def __init__(self, declaration):
        self.declaration = declaration
        self.starts = []

    def play(self, episode, position):
        """Adds the items that the call `position` of an episode completes."""
        size, length = self.declaration.sequence_length, episode[2]
        if position == length:
            self.starts += [(episode, t) for t in range(max(length - size, 0), length)]
        elif position >= size:
            self.starts.append((episode, position - size))
        del self.starts[: -self.declaration.capacity]

    def items(self):
        history, size = self.declaration.history, self.declaration.sequence_length
        whole = {
            episode: expected_items(*episode[:3], history, size, episode[3])
            for episode, _ in self.starts
        }
        return [whole[episode][t] for episode, t in self.starts]


@pytest.mark.parametrize("seed", range(6))
def test_interleaved_streams_and_wrapping_never_mix_episodes(seed):
    random = np.random.default_rng(seed)
    num_streams = 3
    replay = make(
        history=int(random.integers(0, 4)),
        sequence_length=int(random.integers(2, 6)),
        capacity=int(random.integers(20, 60)),
        num_streams=num_streams,
        sampler=["uniform", "prioritized"][seed % 2],
    )
    naive = NaiveReplay(replay.declaration)
    adders = [replay.make_adder() for _ in range(num_streams)]
    running = [collections.deque() for _ in range(num_streams)]
    for turn in range(1000):
        stream = int(random.integers(num_streams))
        if not running[stream]:
            # Eight or more steps: what the pool promises to keep `capacity` items of.
            length, truncated = int(random.integers(8, 20)), bool(random.integers(2))
            calls = steps(stream, turn, length, truncated)
            running[stream].extend(
                (call, (stream, turn, length, truncated), position)
                for position, call in enumerate(calls)
            )
        for _ in range(min(int(random.integers(1, 6)), len(running[stream]))):
            call, of_episode, position = running[stream].popleft()
            play(adders[stream], call)
            naive.play(of_episode, position)
        if turn % 100 == 99:
            assert replay.size == len(naive.starts)
            assert_same_items(every_item(replay), naive.items())


@pytest.mark.parametrize("sampler", ["uniform", "prioritized"])
def test_very_short_episodes_keep_the_newest_items_whole(sampler):
    replay = make(
        history=1, sequence_length=3, capacity=64, min_size=64, num_streams=1, sampler=sampler
    )
    adder = replay.make_adder()
    for episode in range(300):
        record(adder, 0, episode, 1)
    assert replay.can_sample()
    assert 32 < replay.size <= 64
    newest = range(300 - replay.size, 300)
    expected = [expected_items(0, episode, 1, 1, 3)[0] for episode in newest]
    assert_same_items(every_item(replay), expected)
    np.testing.assert_allclose(replay.sample().probabilities, 1 / replay.size)


def test_the_oldest_leave_at_capacity_and_late_priorities_are_passed_over():
    replay = make(capacity=10, sampler="prioritized")
    adder = replay.make_adder()
    record(adder, 0, 0, 10)
    record(adder, 0, 1, 10)
    assert (replay.size, replay.inserted) == (10, 20)
    replay.update_priorities(np.array([3], np.uint64), np.array([1e9]))  # Its place is taken.
    assert set(replay.sample().keys.tolist()) <= set(range(10, 20))
    np.testing.assert_allclose(replay.sample().probabilities, 0.1)


def test_uniform_sampling_is_uniform():
    replay = make(batch_size=20_000)
    record(replay.make_adder(), 0, 0, 10)
    sample = replay.sample()
    counts = np.bincount(sample.keys.astype(int), minlength=10)
    np.testing.assert_allclose(sample.probabilities, 0.1)
    # Chi-square with 9 degrees of freedom: above 33.7 once in 10,000 fair draws.
    assert ((counts - 2000) ** 2 / 2000).sum() < 33.7


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_prioritized_sampling_follows_the_priorities(exponent):
    replay = make(batch_size=20_000, sampler="prioritized", priority_exponent=exponent)
    record(replay.make_adder(), 0, 0, 10)
    priorities = np.arange(10.0)
    replay.update_priorities(np.arange(10, dtype=np.uint64), priorities)
    expected = priorities**exponent / (priorities**exponent).sum()
    sample = replay.sample()
    keys = sample.keys.astype(int)
    np.testing.assert_allclose(sample.probabilities, expected[keys], rtol=1e-6)
    counts = np.bincount(keys, minlength=10)
    assert counts[0] == 0
    chi_square = (counts[1:] - 20_000 * expected[1:]) ** 2 / (20_000 * expected[1:])
    assert chi_square.sum() < 31.8  # 8 degrees of freedom, once in 10,000.


def test_all_priorities_zero_draws_uniformly():
    replay = make(sampler="prioritized")
    record(replay.make_adder(), 0, 0, 4)
    replay.update_priorities(np.arange(4), np.zeros(4))
    sample = replay.sample()
    assert len(np.unique(sample.keys)) == 4
    np.testing.assert_allclose(sample.probabilities, 0.25)


def test_initial_priorities_come_from_the_rows_without_history():
    seen = []

    def priority(rows):
        seen.append(rows)
        return rows.reward[0]

    replay = make(history=2, sequence_length=4, sampler="prioritized", initial_priority=priority)
    record(replay.make_adder(), 0, 0, 5)
    assert_same_items(seen, expected_items(0, 0, 5, 0, 4))
    sample = replay.sample()
    rewards = np.array([reward(0, t) for t in range(5)])
    expected = (rewards / rewards.sum())[sample.keys.astype(int)]
    np.testing.assert_allclose(sample.probabilities, expected, rtol=1e-6)


def test_new_items_have_the_greatest_priority_in_replay():
    replay = make(sampler="prioritized", initial_priority="maximal")
    record(replay.make_adder(), 0, 0, 4)
    np.testing.assert_allclose(replay.sample().probabilities, 0.25)
    replay.update_priorities(np.arange(4), np.array([0.5, 8.0, 1.0, 0.5]))
    record(replay.make_adder(), 1, 0, 2)
    samples = [replay.sample() for _ in range(40)]
    found = {k: p for s in samples for k, p in zip(s.keys, s.probabilities, strict=True)}
    weights = np.array([0.5, 8.0, 1.0, 0.5, 8.0, 8.0])
    assert {4, 5} <= found.keys()
    for key, probability in found.items():
        assert probability == pytest.approx(weights[int(key)] / weights.sum(), rel=1e-6)


@pytest.mark.parametrize("priority", [-1.0, np.nan])
def test_bad_priorities_are_refused(priority):
    replay = make(sampler="prioritized")
    record(replay.make_adder(), 0, 0, 3)
    with pytest.raises(ValueError, match="finite and not negative"):
        replay.update_priorities(np.array([0]), np.array([priority]))


def test_sample_types():
    replay = make(batch_size=5)
    record(replay.make_adder(), 0, 0, 3)
    keys, probabilities, rows = replay.sample()[:3]
    assert (keys.dtype, keys.shape) == (np.uint64, (5,))
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (5,))
    assert rows.observation.shape == (5, 6, 3)
    assert (rows.action.dtype, rows.mask.dtype) == (np.int32, np.float32)


@pytest.mark.parametrize("observed", [None, 2])
def test_zero_sample_has_the_shapes_and_types_of_samples(observed):
    replay = make(observed_rows=observed)
    record(replay.make_adder(), 0, 0, 7)
    zero = zero_sample(replay.declaration, replay.row_spec)
    sample = replay.sample()
    assert jax.tree.structure(zero) == jax.tree.structure(sample)
    for own, real in zip(jax.tree.leaves(zero), jax.tree.leaves(sample), strict=True):
        assert (own.shape, own.dtype) == (real.shape, real.dtype)


def fill(replay, adder, calls):
    for call in calls:
        play(adder, call)
        if replay.can_sample():
            sample = replay.sample()
            replay.update_priorities(sample.keys, np.abs(sample.rows.reward).sum(1) + 0.1)


def assert_same_samples(one, other):
    for _ in range(3):
        a, b = one.sample(), other.sample()
        np.testing.assert_array_equal(a.keys, b.keys)
        np.testing.assert_array_equal(a.probabilities, b.probabilities)
        np.testing.assert_array_equal(stack(items_of(a.rows)).reward, b.rows.reward)
        np.testing.assert_array_equal(a.rows.observation, b.rows.observation)


def test_the_same_seed_draws_the_same():
    one, other, third = (make(seed=s, sampler="prioritized") for s in (1, 1, 2))
    for replay in (one, other, third):
        fill(replay, replay.make_adder(), steps(0, 0, 30))
    assert_same_samples(one, other)
    assert not np.array_equal(one.sample().keys, third.sample().keys)


@pytest.mark.parametrize("sampler", ["uniform", "prioritized"])
@pytest.mark.parametrize("adder_first", [False, True])
@pytest.mark.parametrize("cut", [2, 17, 40])
def test_a_restored_replay_goes_on_bit_for_bit(sampler, adder_first, cut):
    calls = [call for episode in range(4) for call in steps(0, episode, 14)]
    one = make(seed=1, sampler=sampler, capacity=20)
    adder = one.make_adder()
    fill(one, adder, calls[:cut])
    state = one.state_dict()
    assert all(isinstance(value, np.ndarray) for value in state.values())

    other = make(seed=99, sampler=sampler, capacity=20)
    if adder_first:
        other_adder = other.make_adder()
        fill(other, other_adder, steps(0, 7, 30)[:25])  # What was there is forgotten.
        other.restore(state)
    else:
        other.restore(state)
        other_adder = other.make_adder()
    fill(one, adder, calls[cut:])
    fill(other, other_adder, calls[cut:])
    assert (one.inserted, one.sampled, one.size) == (other.inserted, other.sampled, other.size)
    assert_same_samples(one, other)
    for name, value in one.state_dict().items():
        np.testing.assert_array_equal(value, other.state_dict()[name], err_msg=name)


def test_a_state_of_another_declaration_is_refused():
    state = make(history=2).state_dict()
    with pytest.raises(UserError, match="configuration"):
        make(history=3).restore(state)


def may_insert(replay):
    """Returns whether `samples_per_insert` allows another item, as a rate limiter defines it."""
    declaration = replay.declaration
    inserted = replay.inserted - declaration.min_size
    behind = inserted * declaration.samples_per_insert - replay.sampled
    return behind <= declaration.error_buffer


def test_the_rate_limit_in_both_directions():
    replay = make(history=0, sequence_length=2, min_size=10, batch_size=4, samples_per_insert=2.0)
    adder = replay.make_adder()
    record(adder, 0, 0, 9)
    assert not replay.can_sample()
    with pytest.raises(RuntimeError, match="begins at 10"):
        replay.sample()
    record(adder, 0, 1, 1)
    samples = 0
    while replay.can_sample():
        replay.sample()
        samples += 4
    assert samples == replay.declaration.error_buffer == 8
    inserts = 0
    while may_insert(replay):
        record(adder, 0, 2 + inserts, 1)
        inserts += 1
    # From 8 samples ahead to more than 8 behind, at 2 samples an insert.
    assert inserts == 9
    assert replay.can_sample()


def test_a_waiting_iterator_ends_soon_and_waits_no_longer_than_told():
    replay = make(min_size=5)
    with pytest.raises(ReplayTimeoutError, match="no sample within 0.05 s"):
        next(replay.dataset(wait_s=0.05))
    ended = []
    thread = threading.Thread(target=lambda: ended.append(list(replay.dataset(wait_s=30.0))))
    thread.start()
    time.sleep(0.05)
    start = time.monotonic()
    replay.close()
    thread.join(5)
    assert ended == [[]]
    assert time.monotonic() - start < 1.0


def test_threads_may_add_and_sample_together():
    replay = make(capacity=50, batch_size=32, sampler="prioritized")
    items = {as_key(item) for s in range(2) for item in expected_items(s, 0, 12, 2, 4)}

    def act(stream):
        adder = replay.make_adder()
        for _ in range(100):
            record(adder, stream, 0, 12)

    threads = [threading.Thread(target=act, args=(stream,)) for stream in range(2)]
    for thread in threads:
        thread.start()
    dataset = replay.dataset(wait_s=5.0)
    for _ in range(40):
        sample = next(dataset)
        replay.update_priorities(sample.keys, np.ones(32))
        assert {as_key(item) for item in items_of(sample.rows)} <= items
    for thread in threads:
        thread.join(20)
    assert replay.inserted == 2400


def test_too_many_adders_are_refused():
    replay = make(num_streams=1)
    replay.make_adder()
    with pytest.raises(UserError, match="num_streams"):
        replay.make_adder()


def test_memory_is_counted_and_checked(monkeypatch):
    declaration = declare(capacity=8000)
    required = bytes_required(declaration, ROW_SPEC, num_streams=1)
    # A row: 3 + 2 + 1 floats, action, reward, discount, mask; 6 slots an item.
    assert required == pytest.approx(8000 * (9 / 8 * (40 + 4) + 6 * 4 + 4), rel=0.01)
    monkeypatch.setattr(memory, "available_bytes", lambda: required - 1)
    with pytest.raises(UserError, match="lower the capacity"):
        in_process.InProcessReplay(declaration, ROW_SPEC, 0, num_streams=1)


def test_extras_that_are_not_stored_are_passed_over():
    replay = make(history=0, sequence_length=2)
    adder = replay.make_adder()
    first, (action, timestep, at, final) = steps(0, 0, 1)
    adder.add_first(*first)
    adder.add(action, timestep, at | {"depth": np.float32(3)}, final)
    assert sorted(replay.sample().rows.extras) == sorted(extras(0, 0, 0))


@pytest.mark.parametrize("period", [2, 3])
def test_with_a_period_items_start_at_its_multiples(period):
    replay = make(period=period, capacity=20)
    adder = replay.make_adder()
    for episode, length in enumerate((1, 2, 5, 7)):
        record(adder, 0, episode, length)
        replay_items = {as_key(item) for item in every_item(replay)}
        wanted = expected_items(0, episode, length, history=2, size=4)[::period]
        assert {as_key(item) for item in wanted} <= replay_items
    assert replay.size == sum(-(-length // period) for length in (1, 2, 5, 7))


def test_with_a_period_rows_are_freed_with_their_items():
    replay = make(period=3, capacity=4, num_streams=1)
    adder = replay.make_adder()
    for episode in range(50):
        record(adder, 0, episode, 7)
        assert replay.size == min(3 * (episode + 1), 4)
    assert replay._pool.num_written <= replay._pool.num_rows
    newest = expected_items(0, 49, 7, history=2, size=4)[::3]
    found = {as_key(item) for item in every_item(replay)}
    assert {as_key(item) for item in newest} <= found


def test_online_items_are_the_newest_and_come_once():
    replay = make(min_size=4, batch_size=8, online_fraction=0.25)
    adder = replay.make_adder()
    record(adder, 0, 0, 5)
    assert replay.sample().keys[-2:].tolist() == [4, 3]
    record(adder, 0, 1, 1)
    sample = replay.sample()
    assert sample.keys[-2:].tolist() == [5, 2]
    assert sample.rows.mask.shape[0] == 8
    assert as_key(items_of(sample.rows)[-2]) == as_key(expected_items(0, 1, 1, 2, 4)[0])
    # Key 1 is left; key 0 was too old when `min_size` newer ones were there.
    assert not replay.can_sample()
    record(adder, 0, 2, 6)
    drawn = []
    while replay.can_sample():
        drawn += replay.sample().keys[-2:].tolist()
    assert drawn == [11, 10, 9, 8]


def test_online_items_leave_with_the_oldest():
    replay = make(min_size=4, batch_size=8, online_fraction=0.25, capacity=4, sequence_length=2)
    adder = replay.make_adder()
    for episode in range(6):
        record(adder, 0, episode, 1)
        if episode == 4:
            replay.sample()
    assert replay.can_sample()
    assert replay.sample().keys[-2:].tolist() == [5, 2]


@pytest.mark.parametrize("burst", [1, 5])
def test_online_items_and_the_limiter_never_block_each_other(burst):
    """Samples whenever they are allowed, also where items come in bursts: exactly the ratio."""
    replay = make(min_size=6, batch_size=8, online_fraction=0.25, samples_per_insert=4.0)
    adder = replay.make_adder()
    for episode in range(300):
        assert may_insert(replay)
        record(adder, 0, episode, burst)
        while replay.can_sample():
            replay.sample()
    assert replay.sampled / replay.inserted == pytest.approx(4.0, rel=0.1)


def test_a_restored_replay_remembers_what_was_online():
    def fresh():
        return make(min_size=4, batch_size=8, online_fraction=0.25, period=2)

    one, other = fresh(), fresh()
    calls = steps(0, 0, 9)
    adder = one.make_adder()
    for call in calls[:8]:
        play(adder, call)
    other.restore(one.state_dict())
    for replay, stream in ((one, adder), (other, other.make_adder())):
        for call in calls[8:]:
            play(stream, call)
        assert replay.size == 5
        assert replay.sample().keys[-2:].tolist() == [4, 3]
    again = fresh()
    again.restore(one.state_dict())
    assert again.sample().keys[-2:].tolist() == [2, 1]
    assert not again.can_sample()


@pytest.mark.parametrize("observed", [1, 3, 6])
def test_only_the_first_observations_are_sampled(observed):
    replay = make(observed_rows=observed)
    record(replay.make_adder(), 0, 0, 7)
    items = every_item(replay)
    assert items[0].observation.shape == (observed, 3)
    wanted = expected_items(0, 0, 7, history=2, size=4)
    assert_same_items(items, [only_observed(item, observed) for item in wanted])


def grouped(shares, lengths=(20, 5, 10), **changes):
    """A replay with an episode in each group, and the group of each key."""
    replay = make(**{"capacity": 64, "min_size": 1, "batch_size": 500, **changes})
    adder = replay.make_adder()
    for episode, length in enumerate(lengths):
        record(adder, 0, episode, length)
    ends = np.cumsum(lengths)
    replay.share(ends.tolist(), shares)
    return replay, np.repeat(np.arange(len(lengths)), lengths)


@pytest.mark.parametrize("sampler", ["uniform", "prioritized"])
def test_groups_have_their_shares_of_the_samples(sampler):
    shares = (0.2, 0.7, 0.1)
    replay, group_of = grouped(shares, sampler=sampler)
    drawn = np.concatenate([replay.sample().keys for _ in range(20)]).astype(int)
    found = np.bincount(group_of[drawn], minlength=3) / len(drawn)
    np.testing.assert_allclose(found, shares, atol=0.02)
    assert set(drawn) == set(range(len(group_of)))
    np.testing.assert_allclose(replay.sample().probabilities, 1 / len(group_of), rtol=1e-6)


def test_priorities_hold_within_their_group():
    replay, group_of = grouped((0.5, 0.3, 0.2), sampler="prioritized", priority_exponent=1.0)
    priorities = np.random.default_rng(0).random(len(group_of))
    priorities[3] = 0.0
    replay.update_priorities(np.arange(len(group_of)), priorities)
    samples = [replay.sample() for _ in range(100)]
    drawn = np.concatenate([sample.keys for sample in samples]).astype(int)
    sums = np.bincount(group_of, priorities)
    expected = np.array([0.5, 0.3, 0.2])[group_of] * priorities / sums[group_of]
    found = np.bincount(drawn, minlength=len(group_of)) / len(drawn)
    np.testing.assert_allclose(found, expected, atol=0.01)
    sizes = np.bincount(group_of)
    within = priorities / sums[group_of] * sizes[group_of] / len(group_of)
    reported = np.concatenate([sample.probabilities for sample in samples])
    np.testing.assert_allclose(reported, within[drawn], rtol=1e-5)


def test_groups_are_all_items():
    replay = make(capacity=64, min_size=1)
    record(replay.make_adder(), 0, 0, 10)
    for ends in ([4], [4, 4, 10], [0, 10], [4, 11]):
        with pytest.raises(ValueError, match="of 10 items"):
            replay.share(ends, [1 / len(ends)] * len(ends))
