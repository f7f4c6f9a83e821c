"""Launchpad's services for the nodes: stop event, end of the program, errors of courier."""

import contextlib
import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path

import launchpad as lp

from mukoe.layouts.distributed.supervision import supervised

# Courier raises errors without a common class; these parts of messages mean an unavailable peer.
_UNAVAILABLE = ("Deadline", "navailable", "ocket closed")


@dataclasses.dataclass(frozen=True)
class LaunchpadRuntime:
    """Implementation of `mukoe.layouts.distributed.nodes.runtime.Runtime`.

    workdir: directory of the run, which receives failure reports.
    """

    workdir: Path

    @property
    def stop_event(self) -> threading.Event:
        """Stop event of the node in this thread."""
        return lp.stop_event()

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
        lp.stop()

    def is_unavailable(self, error: Exception) -> bool:
        """Returns whether an error of a courier client means that its server is unavailable."""
        return isinstance(error, TimeoutError) or any(hint in str(error) for hint in _UNAVAILABLE)

    def reporting_failures(self, label: str) -> contextlib.AbstractContextManager[None]:
        """See `supervised.reporting_failures`."""
        return supervised.reporting_failures(self.workdir, label, self.stop_event)

    def linger(self, is_done: Callable[[], bool] = lambda: False) -> None:
        """See `supervised.linger`."""
        supervised.linger(is_done)
