"""Services of the ZeroMQ runtime for a node: stop event, end of the program, unavailable peers."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

from mukoe.layouts.distributed.runtimes.zeromq.client import PeerUnavailableError
from mukoe.layouts.distributed.supervision import supervised


class ZeroMQRuntime:
    """Implementation of `mukoe.layouts.distributed.nodes.runtime.Runtime`.

    stop_event: event that is set when the node has to stop.
    """

    def __init__(self, workdir: Path, stop_program: Callable[[], None]):
        """Makes the services of one node.

        Args:
          workdir: directory of the run, which receives failure reports.
          stop_program: function that stops all nodes of the program.
        """
        self.stop_event = threading.Event()
        self._workdir = workdir
        self._stop_program = stop_program

    @property
    def restarts(self) -> int:
        """Restarts of this node so far."""
        return supervised.restarts()

    @property
    def is_alone(self) -> bool:
        """True if only a container's restart policy watches the node."""
        return supervised.is_alone()

    def stop_program(self) -> None:
        """Stops all nodes of the program."""
        self._stop_program()

    def is_unavailable(self, error: Exception) -> bool:
        """Returns whether an error of a call means that the server is unavailable."""
        return isinstance(error, PeerUnavailableError | TimeoutError)

    def reporting_failures(self, label: str) -> contextlib.AbstractContextManager[None]:
        """See `supervised.reporting_failures`."""
        return supervised.reporting_failures(self._workdir, label, self.stop_event)

    def linger(self, is_done: Callable[[], bool] = lambda: False) -> None:
        """See `supervised.linger`."""
        supervised.linger(is_done)
