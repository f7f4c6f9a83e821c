"""Nodes without a launcher: order of their end, and their count of starts."""

import threading

import pytest

from mukoe.layouts.common.counting import Counter
from mukoe.layouts.distributed.runtimes import counter_link
from mukoe.layouts.distributed.supervision import supervised


class AwayCounter:
    def snapshot(self):
        raise RuntimeError("Deadline Exceeded")

    get_counts = snapshot


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(counter_link, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(counter_link, "_COUNTER_STAYS_SECONDS", 0.2)


def test_nodes_stop_when_one_has_told_the_counter():
    counter, stop = Counter(), threading.Event()
    counter_link.CounterLink(counter, "actor_0", stop)
    assert not stop.wait(0.1)
    counter.report(stopping=True)
    assert stop.wait(2)


@pytest.mark.parametrize("label", ["replay", "counter"])
def test_those_that_serve_stop_after_the_learner(label):
    counter, stop = Counter(), threading.Event()
    counter_link.CounterLink(counter, label, stop)
    counter.report(stopping=True)
    assert not stop.wait(0.1)
    counter.report(learner_ended=True)
    # The counter keeps serving until all nodes have received the end.
    assert stop.wait(0.1) == (label == "replay")
    assert stop.wait(2)


def test_a_learner_that_does_not_end_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(counter_link, "_LONGEST_END_SECONDS", 0.1)
    counter, stop = Counter(), threading.Event()
    counter.report(stopping=True)
    counter_link.CounterLink(counter, "replay", stop)
    assert stop.wait(2)


def test_a_node_leaves_when_the_counter_has_gone():
    counter, stop = Counter({"actor_steps": 1}), threading.Event()
    link = counter_link.CounterLink(counter, "actor_0", stop)
    counter.report(stopping=True)
    assert stop.wait(2)
    leaving = threading.Thread(target=link.wait_for_program)
    leaving.start()
    leaving.join(0.1)
    assert leaving.is_alive()
    link._counter = AwayCounter()
    leaving.join(2)
    assert not leaving.is_alive()


def test_a_node_that_its_container_stops_waits_for_nobody():
    counter_link.CounterLink(Counter(), "actor_0", threading.Event()).wait_for_program()


def test_a_node_without_a_counter_fails(monkeypatch):
    monkeypatch.setattr(counter_link, "_LONGEST_OUTAGE_SECONDS", 0.1)
    stop = threading.Event()
    link = counter_link.CounterLink(AwayCounter(), "actor_0", stop)
    assert stop.wait(2)
    with pytest.raises(RuntimeError, match="the counter has not answered"):
        link.wait_for_program()


def test_a_node_counts_its_starts(tmp_path, monkeypatch):
    for name in (supervised.NODE_VARIABLE, supervised.RESTARTS_VARIABLE):
        monkeypatch.setenv(name, "")
    for restarts in range(3):
        supervised.become_node(tmp_path, "learner")
        assert supervised.restarts() == restarts and supervised.is_supervised()
    (tmp_path / supervised.STARTS / "learner").write_text("")
    supervised.become_node(tmp_path, "learner")
    assert supervised.restarts() == 1
    supervised.become_node(tmp_path, "actor_0")
    assert supervised.restarts() == 0
