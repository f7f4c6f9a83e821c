"""Services of the ZeroMQ runtime for a node: stop event, end of the program, unavailable peers."""

import threading
from collections.abc import Callable
from pathlib import Path

from mukoe.layouts.distributed.runtimes.supervised_runtime import SupervisedRuntime
from mukoe.layouts.distributed.runtimes.zeromq.client import PeerUnavailableError


class ZeroMQRuntime(SupervisedRuntime):
    """Implementation of `mukoe.layouts.distributed.nodes.runtime.Runtime`."""

    def __init__(self, workdir: Path, stop_program: Callable[[], None]):
        """Makes the services of one node.

        Args:
          workdir: directory of the run, which receives failure reports.
          stop_program: function that stops all nodes of the program.
        """
        self.workdir = workdir
        self._stop_event = threading.Event()
        self._stop_program = stop_program

    @property
    def stop_event(self) -> threading.Event:
        """Event that is set when the node has to stop."""
        return self._stop_event

    def stop_program(self) -> None:
        """Stops all nodes of the program."""
        self._stop_program()

    def is_unavailable(self, error: Exception) -> bool:
        """Returns whether an error of a call means that the server is unavailable."""
        return isinstance(error, PeerUnavailableError | TimeoutError)
