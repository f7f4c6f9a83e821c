"""Forwarding to several loggers."""

from mukoe.observability.loggers.dispatcher import Dispatcher
from tests.observability.loggers.recorder import Recorder


def test_dispatcher_writes_to_all():
    recorders = [Recorder(), Recorder()]
    dispatcher = Dispatcher(recorders)
    dispatcher.write({"a": 1})
    dispatcher.close()
    assert [r.entries for r in recorders] == [[{"a": 1}]] * 2
    assert all(r.closed for r in recorders)
