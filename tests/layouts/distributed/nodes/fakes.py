"""A runtime for nodes in this process."""

import contextlib
import threading

from mukoe.layouts.distributed.nodes.runtime import ReplayStatistics


class FakeRuntime:
    """Runtime without processes; a ConnectionError means an unavailable peer."""

    is_alone = False

    def __init__(self, restarts=0):
        self.stop_event = threading.Event()
        self.restarts = restarts

    def stop_program(self):
        self.stop_event.set()

    def is_unavailable(self, error):
        return isinstance(error, ConnectionError)

    def reporting_failures(self, label):
        return contextlib.nullcontext()

    def linger(self, is_done=lambda: False):
        pass


class FakeReplayService:
    """Replay service with statistics alone."""

    def __init__(self, statistics=None):
        self._statistics = statistics

    def statistics(self):
        return self._statistics and ReplayStatistics(*self._statistics)
