import threading
from concurrent.futures import ThreadPoolExecutor

from mukoe.layouts.counting import BufferedCounter, Counter


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


def test_buffered_counter_keeps_what_could_not_be_sent():
    class Broken(Counter):
        broken = True

        def increment(self, **counts):
            if self.broken:
                raise ConnectionError
            return super().increment(**counts)

    counter = Broken()
    buffered = BufferedCounter(counter, period_seconds=0.0)
    try:
        buffered.increment(actor_steps=3)
    except ConnectionError:
        counter.broken = False
    assert buffered.increment(actor_steps=4) == {"actor_steps": 7}
