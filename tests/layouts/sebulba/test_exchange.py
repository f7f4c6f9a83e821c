"""Rounds: staleness bound, order and interruption of waits."""

import threading
import time

import pytest

from mukoe.layouts.sebulba.exchange import ClosedError, Exchange


def run_actors(exchange, num_threads, seen, pause):
    def act(thread):
        try:
            for round_index in range(1_000):
                parameters = exchange.parameters(round_index)
                seen.append((round_index, thread, parameters))
                time.sleep(pause[thread])
                exchange.put(round_index, thread, (round_index, thread))
        except ClosedError:
            return

    threads = [threading.Thread(target=act, args=(i,), daemon=True) for i in range(num_threads)]
    for thread in threads:
        thread.start()
    return threads


@pytest.mark.parametrize("staleness", [0, 1, 3])
def test_actors_run_ahead_by_no_more_than_the_bound(staleness):
    exchange, seen = Exchange(3, staleness), []
    exchange.publish(0, 0)
    threads = run_actors(exchange, 3, seen, pause=(0.0, 0.001, 0.003))
    most = 0
    for round_index in range(20):
        assert exchange.take(round_index) == [(round_index, i) for i in range(3)]
        time.sleep(0.02)
        most = max(most, sum(len(work) for work in exchange._work.values()))
        exchange.publish(round_index + 1, round_index + 1)
    exchange.close()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    for round_index, _, parameters in seen:
        assert parameters == max(0, round_index - staleness)
    # Threads use the whole bound: at some time as many rounds wait as it allows.
    assert most == 3 * staleness


def test_the_learner_waits_for_every_thread():
    exchange = Exchange(2, 1)
    exchange.publish(0, "first")
    exchange.put(0, 1, "b")
    taken = []
    thread = threading.Thread(target=lambda: taken.append(exchange.take(0)), daemon=True)
    thread.start()
    time.sleep(0.05)
    assert not taken
    exchange.put(0, 0, "a")
    thread.join(5)
    assert taken == [["a", "b"]]


def test_closing_ends_all_waiting():
    exchange, ended = Exchange(2, 0), []

    def wait(work):
        with pytest.raises(ClosedError):
            work()
        ended.append(work)

    waits = (lambda: exchange.parameters(0), lambda: exchange.take(0))
    threads = [threading.Thread(target=wait, args=(work,), daemon=True) for work in waits]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    exchange.close()
    for thread in threads:
        thread.join(5)
    assert len(ended) == 2
    with pytest.raises(ClosedError):
        exchange.parameters(0)


def test_old_parameters_are_forgotten():
    exchange = Exchange(1, 1)
    for rounds in range(10):
        exchange.publish(rounds, object())
    assert sorted(exchange._parameters) == [8, 9]
