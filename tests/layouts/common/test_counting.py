import threading
from concurrent.futures import ThreadPoolExecutor

from mukoe.layouts.common import counting
from mukoe.layouts.common.counting import BufferedCounter, Counter, FaultTolerantCounterClient


def test_threads_lose_no_counts():
    counter, start = Counter({"actor_steps": 5}), threading.Barrier(8)

    def work(_):
        start.wait(10)
        for _ in range(500):
            counter.increment(actor_steps=3, episodes=1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert counter.get_counts() == {"actor_steps": 5 + 8 * 500 * 3, "episodes": 8 * 500}


def test_reports_keep_the_newest():
    counter = Counter()
    counter.report(best=1.0, other="a")
    counter.report(best=2.0)
    assert counter.snapshot() == ({}, {"best": 2.0, "other": "a"})


def test_buffered_counters_sum_exactly():
    counter = Counter()
    left, right = (BufferedCounter(counter, period_seconds=1000.0) for _ in range(2))
    for i in range(100):
        left.increment(actor_steps=i)
        right.increment(actor_steps=1, episodes=2)
    assert left.known["actor_steps"] == 4950  # Its own are always known.
    assert counter.get_counts().get("actor_steps", 0) < 4950  # Only the first went through.
    left.flush()
    right.flush()
    assert counter.get_counts() == {"actor_steps": 4950 + 100, "episodes": 200}
    assert right.known == counter.get_counts()
    right.flush()
    assert counter.get_counts() == {"actor_steps": 5050, "episodes": 200}


class Broken(Counter):
    """Counter that is unavailable at first."""

    broken = True

    def increment(self, **counts):
        if self.broken:
            raise ConnectionError
        return super().increment(**counts)

    def report(self, **values):
        if self.broken:
            raise TimeoutError
        super().report(**values)


def test_buffered_counter_keeps_what_could_not_be_sent(monkeypatch):
    monkeypatch.setattr(counting, "_RETRY_SECONDS", 0.0)
    counter = Broken()
    buffered = BufferedCounter(counter, period_seconds=0.0)
    buffered.start_from({"actor_steps": 10, "episodes": 1})
    assert buffered.increment(actor_steps=3) == {"actor_steps": 13, "episodes": 1}
    counter.broken = False
    assert counter.get_counts() == {}
    assert buffered.increment(actor_steps=4) == {"actor_steps": 7}
    assert counter.get_counts() == {"actor_steps": 7}


def test_a_client_tolerates_an_unavailable_counter():
    counter = Broken({"actor_steps": 5})
    client = FaultTolerantCounterClient(counter)
    client.report(loss=1.0)
    assert client.get_counts() == {}
    counter.broken = False
    client.report(loss=2.0)
    assert client.get_counts() == {"actor_steps": 5}
    counter.broken = True
    assert client.get_counts() == {"actor_steps": 5}
    assert counter.snapshot() == ({"actor_steps": 5}, {"loss": 2.0})


def test_counts_can_be_set_back():
    counter = Counter({"actor_steps": 5, "learner_steps": 9})
    counter.set_counts(learner_steps=4)
    assert counter.get_counts() == {"actor_steps": 5, "learner_steps": 4}
