"""Services of supervised processes for a node, the same on every transport."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

from mukoe.layouts.distributed.supervision import supervised


class SupervisedRuntime:
    """Part of a `mukoe.layouts.distributed.nodes.runtime.Runtime` that needs no transport.

    workdir: directory of the run, which receives failure reports.
    """

    workdir: Path

    @property
    def stop_event(self) -> threading.Event:
        """Stop event of the node."""
        raise NotImplementedError

    @property
    def restarts(self) -> int:
        """Restarts of this node so far."""
        return supervised.restarts()

    @property
    def is_alone(self) -> bool:
        """True if only a container's restart policy watches the node."""
        return supervised.is_alone()

    def reporting_failures(self, label: str) -> contextlib.AbstractContextManager[None]:
        """See `supervised.reporting_failures`."""
        return supervised.reporting_failures(self.workdir, label, self.stop_event)

    def linger(self, is_done: Callable[[], bool] = lambda: False) -> None:
        """See `supervised.linger`."""
        supervised.linger(is_done)
