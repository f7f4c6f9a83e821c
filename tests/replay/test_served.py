"""The replay as a service: items, rate limit, lost connections, restarts."""

import itertools
import threading
from concurrent import futures

import jax
import numpy as np
import pytest

from mukoe.errors import UserError
from mukoe.replay.in_process import InProcessReplay
from mukoe.replay.served import (
    ReplayServer,
    ServedReplay,
    ShardedReplay,
    service,
    shard_declaration,
)
from tests.replay.episodes import (
    ROW_SPEC,
    as_key,
    declare,
    expected_items,
    items_of,
    play,
    record,
    steps,
)


class Connection:
    """Client of a server in this process; calls fail while `server` is None."""

    def __init__(self, server):
        self.server = server
        self.calls = []

    @property
    def futures(self):
        return self

    def __getattr__(self, method):
        def start(*arguments):
            self.calls.append(method)
            try:
                if self.server is None:
                    raise ConnectionError(method)
                result = getattr(self.server, method)(*arguments)
            except Exception as error:
                result = futures.Future()
                result.set_exception(error)
            if isinstance(result, futures.Future):
                return result
            done = futures.Future()
            done.set_result(result)
            return done

        return start


@pytest.fixture
def connect(monkeypatch):
    """Function that makes a server and its handle."""
    monkeypatch.setattr(service, "_WAIT_SECONDS", 0.1)
    monkeypatch.setattr("mukoe.replay.served.waiting.RETRY_SECONDS", 0.01)
    servers = []

    def make(num_streams=2, state=None, demonstrations=None, **changes):
        declaration = declare(**changes)
        server = ReplayServer(declaration, ROW_SPEC, 0, num_streams, state, demonstrations)
        servers.append(server)
        connection = Connection(server)
        return connection, ServedReplay(connection, ROW_SPEC)

    yield make
    for server in servers:
        server.close()


def stored(connection):
    """Keys of all items."""
    return {
        as_key(item)
        for _ in range(50)
        for item in items_of(connection.server.sample().result().rows)
    }


def expected(*episodes, history=2, size=4):
    return {as_key(item) for e in episodes for item in expected_items(*e, history, size)}


@pytest.mark.parametrize("length", [1, 3, 30])
def test_items_are_those_of_the_contract(connect, length):
    connection, replay = connect()
    adders = [replay.make_adder(), replay.make_adder()]
    for episode in range(2):
        for stream, adder in enumerate(adders):
            record(adder, stream, episode, length)
            adder.flush()
    episodes = [(stream, episode, length) for stream in range(2) for episode in range(2)]
    assert stored(connection) == expected(*episodes)
    assert connection.server.statistics()[:2] == (4 * length, 4 * length)


def test_the_same_calls_make_the_samples_of_the_replay_in_process(connect):
    connection, replay = connect(sampler="prioritized")
    local = InProcessReplay(declare(sampler="prioritized"), ROW_SPEC, 0)
    for replay_of in (replay, local):
        adder = replay_of.make_adder()
        record(adder, 0, 0, 20)
        if replay_of is replay:
            adder.flush()
        replay_of.update_priorities(np.arange(5), np.arange(5.0))
    ours, theirs = next(replay.make_dataset()), local.sample()
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_the_rate_limit_holds_adders_and_readers(connect):
    connection, replay = connect(
        min_size=4, batch_size=2, samples_per_insert=1.0, samples_per_insert_tolerance=0.1
    )
    assert connection.server.sample().result(timeout=5) is None
    stop = threading.Event()
    adder = replay.make_adder(stop.is_set)
    thread = threading.Thread(target=record, args=(adder, 0, 0, 200), daemon=True)
    thread.start()
    thread.join(0.5)
    # min_size, and the error buffer of two batches.
    assert thread.is_alive() and connection.server.statistics()[1] == 4 + 4
    samples = replay.make_dataset()
    for _ in range(10):
        next(samples)
    thread.join(0.5)
    size, inserted, sampled = connection.server.statistics()
    assert thread.is_alive() and inserted == 4 + 4 + sampled and sampled >= 20
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def test_lost_rows_end_an_episode_without_a_gap(connect):
    connection, replay = connect()
    adder = replay.make_adder()
    calls = steps(0, 0, 40)
    for call in calls[:21]:
        play(adder, call)
    before, connection.server = connection.server, None
    thread = threading.Thread(target=lambda: [play(adder, call) for call in calls[21:]])
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    connection.server = before
    thread.join(5)
    adder.flush()
    assert connection.server.statistics()[1] > 25
    for item in items_of(connection.server.sample().result().rows):
        np.testing.assert_array_equal(np.diff(item.action[item.mask > 0]), 1)


def test_streams_without_use_lose_their_adder(connect):
    connection, replay = connect(num_streams=1)
    first, second = replay.make_adder(), replay.make_adder()
    for adder, stream in ((first, 0), (second, 1), (first, 0)):
        record(adder, stream, 0, 5)
        adder.flush()
    assert stored(connection) == expected((0, 0, 5), (1, 0, 5))


def test_a_restored_replay_has_the_items_and_no_running_episode(connect):
    connection, replay = connect()
    adder = replay.make_adder()
    record(adder, 0, 0, 10)
    for call in steps(0, 1, 20)[:9]:
        play(adder, call)
    adder.flush()
    items = stored(connection)
    state = connection.server.state()
    restored, replay = connect(state=state)
    assert stored(restored) == items
    adder = replay.make_adder()
    record(adder, 1, 2, 6)
    adder.flush()
    assert stored(restored) == items | expected((1, 2, 6))


def test_reanalysed_items_are_sampled_once_and_their_queue_is_bounded(connect):
    connection, replay = connect(batch_size=4, reanalysed_fraction=0.5)
    adder = replay.make_adder()
    record(adder, 0, 0, 10)
    adder.flush()
    assert connection.server.sample().result(timeout=5) is None
    sample = next(replay.make_reanalyser_dataset(3))
    marked = sample._replace(keys=np.array([7, 8, 9], np.uint64))
    writer = replay.make_reanalysed_writer()
    writer.write(marked)
    writer.write(marked)
    assert not connection.server.write_reanalysed(marked).result(timeout=5)
    keys = [next(samples).keys for samples in [replay.make_dataset()] for _ in range(3)]
    np.testing.assert_array_equal(np.concatenate([k[2:] for k in keys]), [7, 8, 9, 7, 8, 9])


def test_shards_are_one_replay(connect):
    whole = declare(sampler="prioritized", batch_size=6, capacity=40, min_size=6)
    part = shard_declaration(whole, 3)
    assert (part.batch_size, part.min_size, part.capacity) == (2, 2, 14)
    fields = {"sampler": "prioritized", "batch_size": 2, "min_size": 2, "capacity": 14}
    connections, shards = zip(*(connect(**fields) for _ in range(3)), strict=True)
    replay = ShardedReplay(shards, itertools.count())
    for stream in range(3):
        adder = replay.make_adder()
        record(adder, stream, 0, 10)
        adder.flush()
    assert [connection.server.statistics()[0] for connection in connections] == [10] * 3
    samples = replay.make_dataset()
    sample = next(samples)
    assert len(set((sample.keys >> np.uint64(56)).tolist())) == 3
    np.testing.assert_allclose(sample.probabilities, 1 / 30, rtol=1e-6)
    # All items but one lose their priority, whose shard then samples it alone.
    keys = np.concatenate([np.arange(10) + (shard << 56) for shard in range(3)]).astype(np.uint64)
    kept = (2 << 56) + 4
    replay.update_priorities(keys, (keys == kept).astype(float))
    for _ in range(2):
        next(samples)  # They were drawn before.
    keys = next(samples).keys
    assert keys[(keys >> np.uint64(56)) == 2].tolist() == [kept] * 2


def test_a_batch_that_cannot_be_divided_over_shards_is_refused():
    with pytest.raises(UserError, match="num_replays 4 must divide the 6 items of a batch"):
        shard_declaration(declare(batch_size=6), 4)


def test_rows_can_be_rewritten(connect):
    connection, replay = connect()
    local = InProcessReplay(declare(), ROW_SPEC, 0)
    with pytest.raises(TimeoutError, match="empty"):
        replay.stretch(0, 6)
    for replay_of in (replay, local):
        adder = replay_of.make_adder()
        record(adder, 0, 0, 4)
        if replay_of is replay:
            adder.flush()
        stretch = replay_of.stretch(0, 6)
        values = np.arange(6, dtype=np.float32)
        replay_of.rewrite(stretch, {"search_value": values})
        assert stretch.num_rows == 5 and replay_of.inserted == 4
    ours, theirs = next(replay.make_dataset()).rows, local.sample().rows
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    # The slots of a server that has ended mean nothing to the next one.
    before = replay.stretch(0, 6)
    connection.server = ReplayServer(declare(), ROW_SPEC, 0, 2, connection.server.state())
    replay.rewrite(before, {"search_value": values + 100})
    assert next(replay.make_dataset()).rows.extras["search_value"].max() < 100


def test_updates_of_priorities_are_not_dropped_before_many_are_without_an_answer(connect):
    connection, replay = connect(sampler="prioritized")
    answers = []

    def never_answered(keys, priorities):
        answers.append(futures.Future())
        return answers[-1]

    connection.server.update_priorities = never_answered
    for count in range(100):
        replay.update_priorities(np.arange(1), np.ones(1))
        assert len(answers) == min(count + 1, 32)
    answers[0].set_result(None)
    replay.update_priorities(np.arange(1), np.ones(1))
    assert len(answers) == 33
