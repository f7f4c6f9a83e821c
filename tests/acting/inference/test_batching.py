"""Batches: time of departure, and memory."""

import threading
import time

import numpy as np
import pytest
from dm_env import specs

from mukoe.acting.inference.batching import BatchQueue, BatchSizes, StagingArea, bucket_sizes
from mukoe.acting.inference.requests import Request
from mukoe.acting.inference.sessions import Session


def make_request(name, size=1, value=0.0, first=False, start=0):
    slots = np.arange(start, start + size, dtype=np.int32)
    session = Session(name, 0, slots, time.monotonic(), is_blank=False)
    return Request(session, [np.full((size, 2), value, np.float32)], np.full(size, first))


def make_queue(deadline_seconds, expected=1, max_batch_size=4):
    return BatchQueue(BatchSizes([1, 2, max_batch_size]), deadline_seconds, lambda: expected)


def names(batch):
    return [request.session.name for request in batch]


def test_buckets():
    assert bucket_sizes(1) == [1]
    assert bucket_sizes(4) == [1, 2, 4]
    assert bucket_sizes(6) == [1, 2, 4, 6]
    assert bucket_sizes(64, smallest=8) == [8, 16, 32, 64]
    assert bucket_sizes(20, smallest=3) == [3, 6, 12, 20]
    assert bucket_sizes(4, smallest=8) == [4]


def test_a_full_batch_leaves_before_its_deadline_with_the_oldest_first():
    queue = make_queue(deadline_seconds=60.0)
    for name, size in (("a", 2), ("b", 1), ("c", 2)):
        queue.add(make_request(name, size))
    assert names(queue.take(0.0)) == ["a", "b"]  # With c it would be too large.


def test_a_batch_leaves_when_its_oldest_request_has_waited_the_deadline():
    queue = make_queue(deadline_seconds=0.6, expected=2)
    added = time.monotonic()
    queue.add(make_request("oldest"))
    later = threading.Timer(0.4, lambda: queue.add(make_request("newest")))
    later.start()
    batch = queue.take(5.0)
    waited = time.monotonic() - added
    later.join()
    assert names(batch) == ["oldest", "newest"]
    assert 0.6 <= waited < 0.95  # Counted from the newest it would be 1.0.


def test_a_batch_leaves_at_once_when_nobody_else_may_ask():
    queue = make_queue(deadline_seconds=60.0, expected=0)
    queue.add(make_request("a"))
    assert names(queue.take(0.0)) == ["a"]


def test_while_the_device_is_busy_the_next_batch_fills():
    queue = make_queue(deadline_seconds=0.0, max_batch_size=4)
    queue.add(make_request("a"))
    assert names(queue.take(0.0)) == ["a"]
    queue.add(make_request("b"))
    assert queue.take(0.05) == []  # Its deadline is over, but the device could not begin.
    later = threading.Timer(0.2, queue.finished)
    later.start()
    queue.add(make_request("c"))
    assert names(queue.take(5.0)) == ["b", "c"]
    later.join()


def test_a_full_batch_does_not_wait_for_the_device():
    queue = make_queue(deadline_seconds=60.0, max_batch_size=4, expected=0)
    queue.add(make_request("a"))
    queue.take(0.0)
    queue.add(make_request("b", size=4))
    assert names(queue.take(0.0)) == ["b"]


def test_a_batch_leaves_part_of_what_waits_where_padding_would_cost_more():
    sizes = BatchSizes([1, 2, 4])
    assert sizes.best(3) == 4  # Nothing is known of the costs yet.
    for size, seconds in ((1, 1.0), (2, 2.0), (4, 4.0)):
        sizes.measured(size, seconds)
    assert [sizes.best(waiting) for waiting in (1, 2, 3, 4, 9)] == [1, 2, 2, 4, 4]
    sizes.measured(4, 2.1)
    assert sizes.best(3) == 4  # 3 in 2.1 s are more than 2 in 2 s.


def test_what_is_left_behind_leaves_first():
    sizes = BatchSizes([1, 2, 4])
    for size in sizes.all:
        sizes.measured(size, float(size))
    queue = BatchQueue(sizes, 0.0, lambda: 0)
    for name in ("a", "b", "c"):
        queue.add(make_request(name))
    assert names(queue.take(0.0)) == ["a", "b"]
    queue.finished()
    queue.add(make_request("d"))
    assert names(queue.take(0.0)) == ["c", "d"]


def test_nothing_comes():
    assert make_queue(60.0).take(0.01) == []


def test_a_newer_request_of_a_session_replaces_the_older():
    queue = make_queue(deadline_seconds=0.0)
    old = make_request("a")
    new = Request(old.session, old.leaves, old.is_first)
    queue.add(old)
    queue.add(new)
    assert queue.take(0.0) == [new]
    assert isinstance(old.answer.exception(0), TimeoutError)


def test_closing_fails_what_is_pending_and_what_comes():
    queue = make_queue(deadline_seconds=60.0)
    pending = make_request("a")
    queue.add(pending)
    queue.close()
    assert isinstance(pending.answer.exception(0), TimeoutError)
    with pytest.raises(TimeoutError, match="stopping"):
        queue.add(make_request("b"))


def test_staging_pads_with_the_scratch_slot_and_leaves_nothing_of_the_batch_before():
    area = StagingArea([specs.Array((2,), np.float32)], BatchSizes([1, 2, 4]), scratch_slot=9)
    full = [make_request("a", 2, value=1.0), make_request("b", 2, value=2.0, start=2)]
    leaves, is_first, slots = area.fill(full)
    np.testing.assert_array_equal(leaves[0][:, 0], [1, 1, 2, 2])
    np.testing.assert_array_equal(slots, [0, 1, 2, 3])
    np.testing.assert_array_equal(is_first, [False] * 4)

    leaves, is_first, slots = area.fill([make_request("c", 3, value=3.0, start=4)])
    np.testing.assert_array_equal(leaves[0], [[3, 3]] * 3 + [[0, 0]])
    np.testing.assert_array_equal(slots, [4, 5, 6, 9])
    np.testing.assert_array_equal(is_first, [False] * 3 + [True])

    leaves, is_first, slots = area.fill([make_request("d", 1, value=4.0)])
    assert len(leaves[0]) == len(is_first) == len(slots) == 1


def test_a_blank_session_starts_blank_whatever_its_actor_says():
    area = StagingArea([specs.Array((2,), np.float32)], BatchSizes([2]), scratch_slot=9)
    request = make_request("a", 2)
    request.session.is_blank = True
    np.testing.assert_array_equal(area.fill([request])[1], [True, True])
