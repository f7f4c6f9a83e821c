"""The threads of a run, which stop together."""

import logging
import threading
import time
from collections.abc import Callable

from mukoe.layouts.sebulba.exchange import ClosedError
from mukoe.terminal.interruption import abandon

_LOGGER = logging.getLogger(__name__)


class ThreadGroup:
    """Threads that stop together: at `stop`, or when one of them fails.

    stopped: set when the threads have to stop.
    failures: exceptions raised in threads, the first one first.
    """

    def __init__(self, on_stop: Callable[[], None]):
        """Builds an empty group.

        Args:
          on_stop: interrupts the waits of the threads; called at every `stop`.
        """
        self.stopped = threading.Event()
        self.failures: list[BaseException] = []
        self._on_stop = on_stop
        self._threads: list[threading.Thread] = []

    def start(self, name: str, target: Callable[[], None]) -> None:
        """Starts a thread that runs `target`."""

        def run() -> None:
            try:
                target()
            except ClosedError:
                pass
            except BaseException as error:  # the owner of the group raises it, whatever it is
                self.failures.append(error)
                self.stop()

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """Makes all threads stop; returns at once."""
        self.stopped.set()
        self._on_stop()

    def join(self, timeout_seconds: float) -> None:
        """Waits for the threads; warns of those that are still alive after the timeout."""
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                abandon(thread)
                _LOGGER.warning(f"{thread.name} did not end within {timeout_seconds:.0f} s")
