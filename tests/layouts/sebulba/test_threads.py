"""Threads that stop together."""

import threading

from mukoe.layouts.sebulba.exchange import ClosedError
from mukoe.layouts.sebulba.threads import ThreadGroup


def test_a_failure_stops_all_threads_and_is_kept():
    closed = threading.Event()
    threads = ThreadGroup(on_stop=closed.set)

    def wait():
        closed.wait()
        raise ClosedError

    def fail():
        raise ValueError("broken")

    threads.start("waiting", wait)
    threads.start("failing", fail)
    assert threads.stopped.wait(5)
    threads.join(5.0)
    assert [str(error) for error in threads.failures] == ["broken"]


def test_a_thread_that_does_not_end_is_named_and_abandoned(caplog, monkeypatch):
    unfinished = []
    monkeypatch.setattr("mukoe.terminal.interruption._unfinished", unfinished)
    threads, never = ThreadGroup(on_stop=lambda: None), threading.Event()
    threads.start("hanging", never.wait)
    threads.stop()
    threads.join(0.05)
    assert "hanging did not end within 0 s" in caplog.text
    assert [thread.name for thread in unfinished] == ["hanging"], "exits do not finalize"
    never.set()
