"""Replay on a real Reverb server: the items of the contract, sampling, limits, ends."""

import threading
import time

import dm_env
import jax
import numpy as np
import pytest
from dm_env import specs

reverb = pytest.importorskip("reverb")
pytest.importorskip("acme")

from mukoe.errors import UserError  # noqa: E402
from mukoe.replay import reverb as reverb_replay  # noqa: E402
from mukoe.replay.declaration import row_spec, zero_sample  # noqa: E402
from mukoe.types import Row  # noqa: E402
from tests.replay.episodes import (  # noqa: E402
    ROW_SPEC,
    SPEC,
    as_key,
    declare,
    expected_items,
    items_of,
    only_observed,
    record,
    reward,
    steps,
)


class Replay:
    """A server with one adder, and samples taken from it by hand."""

    def __init__(self, spec: Row = ROW_SPEC, **changes):
        self.declaration = declare(**changes)
        self.spec = spec
        tables = reverb_replay.make_tables(self.declaration, spec)
        self.server = reverb.Server(tables, port=None)
        self.client = reverb.Client(f"localhost:{self.server.port}")
        self.handle = reverb_replay.ReverbReplay(self.client, self.declaration, spec)
        self.adders = []
        self.datasets = []

    def make_adder(self, should_stop=lambda: False):
        adder = self.handle.make_adder(should_stop)
        self.adders.append(adder)
        return adder

    def make_dataset(self):
        dataset = self.handle.make_dataset()
        self.datasets.append(dataset)
        return dataset

    def send(self):
        """Waits until the server has all that was written."""
        for adder in self.adders:
            adder._writer.flush(0, timeout_ms=5000)

    def table(self):
        return self.client.server_info(5)[self.declaration.table]

    def draw(self, count):
        """Keys, probabilities and items of `count` samples."""
        samples = list(
            self.client.sample(
                self.declaration.table,
                count,
                emit_timesteps=False,
                unpack_as_table_signature=True,
            )
        )
        keys = np.array([sample.info.key for sample in samples], np.uint64)
        probabilities = np.array([sample.info.probability for sample in samples])
        return keys, probabilities, [Row(*sample.data) for sample in samples]

    def close(self):
        for dataset in self.datasets:
            dataset.close()
        for adder in self.adders:
            adder._writer.close()
        self.server.stop()


@pytest.fixture
def make():
    replays = []

    def make_one(*args, **changes):
        replays.append(Replay(*args, **changes))
        return replays[-1]

    yield make_one
    for replay in replays:
        replay.close()


def distinct(items):
    return sorted({as_key(item) for item in items})


@pytest.mark.parametrize(("history", "size"), [(0, 2), (2, 4), (5, 3)])
def test_each_step_starts_one_item(make, history, size):
    replay = make(history=history, sequence_length=size)
    adder = replay.make_adder()
    expected = []
    for episode, length in enumerate([1, 2, 3, 4, 5, 11, 5]):
        truncated = episode % 2 == 1
        record(adder, 0, episode, length, truncated)
        expected += expected_items(0, episode, length, history, size, truncated)
    replay.send()
    assert replay.table().current_size == len(expected)
    _, _, items = replay.draw(600)
    assert distinct(items) == distinct(expected)


def test_the_iterator_gives_samples_of_numpy_arrays(make):
    replay = make(batch_size=5, history=1, sequence_length=3)
    record(replay.make_adder(), 0, 0, 12)
    replay.send()
    keys, probabilities, rows = next(replay.make_dataset())[:3]
    assert (keys.dtype, keys.shape) == (np.uint64, (5,))
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (5,))
    np.testing.assert_allclose(probabilities, 1 / 12)
    assert isinstance(rows, Row)
    assert rows.observation.shape == (5, 4, 3)
    zero = jax.tree.leaves(zero_sample(replay.declaration, replay.spec))
    for own, real in zip(zero, jax.tree.leaves((keys, probabilities, rows)), strict=True):
        assert (own.shape, own.dtype) == (real.shape, real.dtype)
    assert (rows.action.dtype, rows.reward.dtype) == (np.int32, np.float32)
    whole = {as_key(item) for item in expected_items(0, 0, 12, 1, 3)}
    assert {as_key(item) for item in items_of(rows)} <= whole


def test_observations_of_several_parts(make):
    parts = {"text": specs.Array((3,), np.int32), "view": (specs.Array((2, 2, 1), np.uint8),)}
    replay = make(
        row_spec(SPEC._replace(observations=parts), {}), history=1, sequence_length=2, batch_size=4
    )
    adder = replay.make_adder()

    def observe(step):
        text = np.full(3, step + 1, np.int32)
        return {"text": text, "view": (np.full((2, 2, 1), 10 + step, np.uint8),)}

    adder.add_first(dm_env.restart(observe(0)))
    adder.add(0, dm_env.transition(1.0, observe(1)))
    adder.add(1, dm_env.termination(1.0, observe(2)))
    replay.send()
    rows = next(replay.make_dataset()).rows
    text, (view,) = rows.observation["text"], rows.observation["view"]
    assert (text.shape, view.shape) == ((4, 3, 3), (4, 3, 2, 2, 1))
    # Padding is all zeros in both parts.
    expected = np.where(text[..., 0] > 0, text[..., 0] + 9, 0)
    np.testing.assert_array_equal(view[..., 0, 0, 0], expected)
    assert {tuple(item) for item in text[..., 0].tolist()} <= {(0, 1, 2), (1, 2, 3)}


def test_every_row_is_stored_once(tmp_path):
    """Frames that do not compress take the room of one each, whatever the items."""
    spec = row_spec(SPEC._replace(observations=specs.Array((64, 64), np.uint8, "frame")), {})
    declaration = declare(sequence_length=10, history=3)
    server = reverb.Server(
        reverb_replay.make_tables(declaration, spec),
        port=None,
        checkpointer=reverb.checkpointers.DefaultCheckpointer(str(tmp_path)),
    )
    client = reverb.Client(f"localhost:{server.port}")
    frames = np.random.default_rng(0).integers(0, 256, (61, 64, 64), np.uint8)
    adder = reverb_replay.ReverbReplay(client, declaration, spec).make_adder()
    adder.add_first(dm_env.restart(frames[0]))
    for t in range(60):
        timestep = dm_env.termination if t == 59 else dm_env.transition
        adder.add(0, timestep(0.0, frames[t + 1]), {})
    adder._writer.flush(0, timeout_ms=5000)
    client.checkpoint()
    stored = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    adder._writer.close()
    server.stop()
    # Each item by itself would take 13 frames, 60 times.
    assert frames.nbytes < stored < 2 * frames.nbytes


def test_initial_priorities_come_from_the_rows_without_history(make):
    seen = []

    def priority(rows):
        seen.append(rows)
        return rows.reward[0]

    replay = make(history=2, sequence_length=4, sampler="prioritized", initial_priority=priority)
    record(replay.make_adder(), 0, 0, 5)
    replay.send()
    assert [as_key(rows) for rows in seen] == [as_key(i) for i in expected_items(0, 0, 5, 0, 4)]
    total = sum(reward(0, t) for t in range(5))
    _, probabilities, items = replay.draw(50)
    for probability, item in zip(probabilities, items, strict=True):
        assert probability == pytest.approx(item.reward[2] / total)


def test_the_greatest_priority_of_a_service_is_refused(make):
    with pytest.raises(UserError, match="initial_priority=maximal.*--layout=local"):
        make(sampler="prioritized", initial_priority="maximal")


def test_priorities_are_followed_and_updates_take_effect(make):
    replay = make(sampler="prioritized", priority_exponent=0.5)
    record(replay.make_adder(), 0, 0, 10)
    replay.send()
    keys = np.unique(replay.draw(400)[0])
    assert len(keys) == 10
    priorities = np.arange(10.0)
    replay.handle.update_priorities(keys, priorities)
    expected = np.sqrt(priorities) / np.sqrt(priorities).sum()
    drawn, probabilities, _ = replay.draw(4000)
    places = np.searchsorted(keys, drawn)
    np.testing.assert_allclose(probabilities, expected[places], rtol=1e-6)
    counts = np.bincount(places, minlength=10)
    assert counts[0] == 0
    chi_square = (counts[1:] - 4000 * expected[1:]) ** 2 / (4000 * expected[1:])
    assert chi_square.sum() < 31.8  # 8 degrees of freedom, once in 10,000.


def test_uniform_sampling_is_uniform(make):
    replay = make()
    record(replay.make_adder(), 0, 0, 10)
    replay.send()
    keys, probabilities, _ = replay.draw(4000)
    np.testing.assert_allclose(probabilities, 0.1)
    counts = np.unique(keys, return_counts=True)[1]
    assert ((counts - 400) ** 2 / 400).sum() < 33.7  # 9 degrees of freedom.


def test_the_oldest_leave_at_capacity_and_late_priorities_are_passed_over(make):
    replay = make(capacity=10, sampler="prioritized", history=0, sequence_length=2)
    adder = replay.make_adder()
    record(adder, 0, 0, 10)
    replay.send()
    old = np.unique(replay.draw(200)[0])
    record(adder, 0, 1, 10)
    replay.send()
    replay.handle.update_priorities(old[:1], np.array([1e9]))
    assert replay.table().current_size == 10
    _, probabilities, items = replay.draw(200)
    np.testing.assert_allclose(probabilities, 0.1)
    assert distinct(items) == distinct(expected_items(0, 1, 10, 0, 2))


def test_two_adders_do_not_mix_their_episodes(make):
    replay = make(history=2, sequence_length=4)
    adders = [replay.make_adder() for _ in range(2)]
    both = [steps(stream, 0, 9) for stream in range(2)]
    for calls in zip(*both, strict=True):
        for adder, call in zip(adders, calls, strict=True):
            adder.add_first(*call) if len(call) == 1 else adder.add(*call)
    replay.send()
    expected = [item for stream in range(2) for item in expected_items(stream, 0, 9, 2, 4)]
    assert distinct(replay.draw(400)[2]) == distinct(expected)


def test_reset_drops_the_rest_of_an_episode(make):
    replay = make(history=1, sequence_length=3)
    adder = replay.make_adder()
    for call in steps(0, 0, 9)[:6]:
        adder.add_first(*call) if len(call) == 1 else adder.add(*call)
    adder.reset()
    record(adder, 0, 1, 4)
    replay.send()
    expected = expected_items(0, 0, 9, 1, 3)[:3] + expected_items(0, 1, 4, 1, 3)
    assert distinct(replay.draw(300)[2]) == distinct(expected)


def test_truncation_needs_the_value_there(make):
    adder = make().make_adder()
    first, (action, timestep, at, _) = steps(0, 1, 1, truncated=True)
    adder.add_first(*first)
    with pytest.raises(ValueError, match="final_extras"):
        adder.add(action, timestep, at, None)


def test_a_full_table_blocks_the_adder_until_it_should_stop(make):
    replay = make(history=0, sequence_length=2, min_size=4, batch_size=2, samples_per_insert=1.0)
    stopping = threading.Event()
    adder = replay.make_adder(stopping.is_set)
    writing = threading.Thread(target=record, args=(adder, 0, 0, 60))
    writing.start()
    time.sleep(1.5)
    # Four to begin with, and as many as may go unsampled.
    most = 4 + replay.declaration.error_buffer + 1
    assert writing.is_alive() and replay.table().current_size <= most
    stopping.set()
    writing.join(5)
    assert not writing.is_alive()
    replay.draw(26)  # Room again: what was written comes after all.
    deadline = time.monotonic() + 10
    while replay.table().current_size < 30 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert replay.table().current_size >= 30


def test_an_iterator_over_an_empty_table_ends_when_closed(make):
    dataset = make().make_dataset()
    ended = []
    thread = threading.Thread(target=lambda: ended.append(list(dataset)))
    thread.start()
    time.sleep(0.3)
    start = time.monotonic()
    dataset.close()
    thread.join(15)
    assert ended == [[]]
    assert time.monotonic() - start < 8.0


def test_with_a_period_items_start_at_its_multiples(make):
    replay = make(period=2)
    adder, expected = replay.make_adder(), []
    for episode, length in enumerate([1, 2, 5, 8]):
        record(adder, 0, episode, length)
        expected += expected_items(0, episode, length, history=2, size=4)[::2]
    replay.send()
    assert replay.table().current_size == len(expected)
    _, _, items = replay.draw(300)
    assert distinct(items) == distinct(expected)


def test_online_items_are_the_newest_and_come_once(make):
    replay = make(batch_size=8, online_fraction=0.25, min_size=2)
    adder = replay.make_adder()
    record(adder, 0, 0, 6)
    replay.send()
    dataset = replay.make_dataset()
    items = items_of(next(dataset).rows)
    assert len(items) == 8
    expected = expected_items(0, 0, 6, history=2, size=4)
    assert {as_key(item) for item in items} <= {as_key(item) for item in expected}
    # The table of online items keeps two batches, the newest, and has given away two items or
    # sent them ahead; with new ones, the newest of all come next.
    assert as_key(items[-2]) in {as_key(item) for item in expected[-4:]}
    fresh = [as_key(item) for item in items[-2:]]
    for episode in (1, 2, 3):
        record(adder, 0, episode, 2)
        replay.send()
        fresh += [as_key(item) for item in items_of(next(dataset).rows)[-2:]]
    assert len(set(fresh)) == len(fresh)


@pytest.mark.parametrize("observed", [1, 4])
def test_only_the_first_observations_are_sampled(make, observed):
    replay = make(batch_size=40, history=1, sequence_length=3, observed_rows=observed)
    record(replay.make_adder(), 0, 0, 6)
    replay.send()
    rows = next(replay.make_dataset()).rows
    assert rows.observation.shape == (40, observed, 3)
    wanted = [only_observed(item, observed) for item in expected_items(0, 0, 6, 1, 3)]
    assert distinct(items_of(rows)) == distinct(wanted)
