"""Stretches of the in-process replay: each stored row once, oldest first; only extras change."""

import zlib

import jax
import numpy as np
import pytest

from mukoe.replay.in_process import InProcessReplay
from tests.replay.episodes import ROW_SPEC, declare, expected_items, items_of, play, record, steps

HISTORY, SIZE = 2, 4


def make(**changes):
    return InProcessReplay(declare(**changes), ROW_SPEC, seed=0, num_streams=4)


def one_pass(replay, size, key=0):
    """All stretches up to the newest item."""
    stretches = []
    while key < replay.inserted:
        stretches.append(replay.stretch(key, size))
        key = stretches[-1].next_key
    return stretches


def new_extras(stretch, offset):
    """Extras that encode the stored ones."""
    stored = stretch.rows.extras
    return {
        "search_value": stored["search_value"][:, -1] + offset,
        "search_policy": stored["search_policy"][:, -1] + offset,
    }


@pytest.mark.parametrize("size", [2, 3, 7, 100])
@pytest.mark.parametrize("truncated", [False, True])
def test_a_pass_holds_each_row_and_each_final_observation_once_oldest_first(size, truncated):
    replay, lengths = make(), (5, 1, 3)
    adder = replay.make_adder()
    expected = []
    for episode, length in enumerate(lengths):
        record(adder, 0, episode, length, truncated)
        items = expected_items(0, episode, length, HISTORY, SIZE, truncated)
        # Row `t` is row `H` of the item of step `t`; the final one is row `H + 1` of the last.
        expected += [item[: HISTORY + 1] for item in map(_rows, items)]
        expected.append(_rows(items[-1])[1 : HISTORY + 2])
    stretches = one_pass(replay, size)
    for stretch in stretches:
        assert len(stretch.keys) == len(stretch.slots) == size
        assert stretch.num_rows >= (1 if stretch is stretches[-1] else size - 1)
    seen = [
        window
        for stretch in stretches
        for window in map(_rows, items_of(stretch.rows)[: stretch.num_rows])
    ]
    assert len(seen) == len(expected) == sum(lengths) + len(lengths)
    for got, right in zip(seen, expected, strict=True):
        _assert_equal(got, right)
    # The oldest item follows the newest one.
    assert replay.stretch(replay.inserted, size).keys[0] == 0


def _rows(item):
    """The rows of an item as a list of lists of arrays."""
    return [list(row) for row in zip(*jax.tree.leaves(item), strict=True)]


def _assert_equal(left, right):
    for one, other in zip(left, right, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_rows_of_a_running_episode_and_padding_are_left_out():
    replay = make()
    adder = replay.make_adder()
    for call in steps(0, 0, 9)[:7]:
        play(adder, call)
    (stretch,) = one_pass(replay, 10)
    # Six actions; an item needs rows t .. t + 3.
    assert stretch.num_rows == replay.inserted == 3
    np.testing.assert_array_equal(stretch.rows.observation[3:], 0)
    assert make().stretch(0, 4).num_rows == 0


def test_new_extras_are_in_every_sample_and_padding_stays():
    replay = make(batch_size=256)
    record(replay.make_adder(), 0, 0, 6)
    before = {int(k): v for k, v in zip(*_values(replay), strict=True)}
    for stretch in one_pass(replay, 4):
        replay.rewrite(stretch, new_extras(stretch, 100))
    keys, values = _values(replay)
    assert len(set(keys.tolist())) == 6
    for key, value in zip(keys, values, strict=True):
        # Padding has value 0 before the episode and after its final row.
        np.testing.assert_array_equal(value, np.where(before[key] == 0, 0, before[key] + 100))


def _values(replay):
    sample = replay.sample()
    return sample.keys.astype(int), sample.rows.extras["search_value"]


def test_after_a_thousand_rewrites_all_but_the_extras_is_as_without_them():
    one, other = (make(capacity=40) for _ in range(2))
    adders = [[replay.make_adder() for _ in range(2)] for replay in (one, other)]
    rng, key, rewrites = np.random.default_rng(0), 0, 0
    calls = [[c for e in range(60) for c in steps(s, e, 1 + (7 * e + s) % 9)] for s in range(2)]
    while rewrites < 1000:
        stream = int(rng.integers(2))
        if calls[stream]:
            call = calls[stream].pop(0)
            for pair in adders:
                play(pair[stream], call)
        if one.size:
            stretch = one.stretch(key, 5)
            one.rewrite(stretch, new_extras(stretch, rng.normal()))
            key, rewrites = stretch.next_key, rewrites + 1
    left, right = one.state_dict(), other.state_dict()
    extras = {f"pool/rows_{leaf}" for leaf in (5, 6)}
    for name in left:
        if name in extras:
            assert not np.array_equal(left[name], right[name])
            np.testing.assert_array_equal(left[name][0], 0)  # The padding row.
        else:
            np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def test_rows_of_items_that_have_been_removed_are_skipped():
    replay = make(capacity=6)
    adder = replay.make_adder()
    record(adder, 0, 0, 6)
    stretch = replay.stretch(0, 7)
    record(adder, 0, 1, 4)
    before = replay.state_dict()
    replay.rewrite(stretch, new_extras(stretch, 100))
    changed = np.flatnonzero(before["pool/rows_6"] != replay.state_dict()["pool/rows_6"])
    # Steps 4 and 5 of the first episode and its final observation are still there.
    np.testing.assert_array_equal(np.sort(changed), np.sort(stretch.slots[4:7]))


def test_extras_of_another_shape_are_refused_and_change_nothing():
    replay = make()
    record(replay.make_adder(), 0, 0, 3)
    stretch, before = replay.stretch(0, 4), replay.state_dict()
    with pytest.raises(ValueError, match=r"extras of shape \(4, 2\), expected \(4,\)"):
        replay.rewrite(stretch, {"search_value": np.zeros((4, 2))})
    for name, array in replay.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_thousand_rewrites_leave_observations_actions_and_rewards():
    def checksums():
        leaves, _ = jax.tree_util.tree_flatten_with_path(ROW_SPEC)
        names = [jax.tree_util.keystr(path) for path, _ in leaves]
        state = replay.state_dict()
        return {
            name: zlib.crc32(state[f"pool/rows_{index}"].tobytes())
            for index, name in enumerate(names)
        }

    replay, random = make(), np.random.default_rng(0)
    adder = replay.make_adder()
    for episode, length in enumerate((5, 1, 3, 8)):
        record(adder, 0, episode, length, truncated=episode % 2 == 0)
    before, key = checksums(), 0
    for _ in range(1000):
        stretch = replay.stretch(key, 4)
        extras = {"search_value": random.normal(size=4), "search_policy": random.random((4, 2))}
        replay.rewrite(stretch, extras)
        key = stretch.next_key
    changed = {name for name, checksum in checksums().items() if checksum != before[name]}
    assert changed == {".extras['search_policy']", ".extras['search_value']"}
