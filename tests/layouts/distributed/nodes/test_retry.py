"""Retries of remote calls."""

import pytest

from mukoe.layouts.distributed.nodes import retry
from mukoe.layouts.distributed.nodes.retry import call_until_available
from tests.layouts.distributed.nodes.fakes import FakeRuntime


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(retry, "_RETRY_SECONDS", 0.0)


def test_calls_are_retried_while_the_peer_is_unavailable():
    runtime, failures = FakeRuntime(), [ConnectionError(), ConnectionError()]

    def call():
        if failures:
            raise failures.pop()

    assert call_until_available(call, runtime, runtime.stop_event)
    assert not failures


def test_other_errors_are_raised():
    runtime = FakeRuntime()
    with pytest.raises(ZeroDivisionError):
        call_until_available(lambda: 1 / 0, runtime, runtime.stop_event)


def test_retries_end_with_the_program():
    runtime = FakeRuntime()

    def call():
        runtime.stop_program()
        raise ConnectionError

    assert not call_until_available(call, runtime, runtime.stop_event)
