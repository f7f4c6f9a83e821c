"""Launchpad's services for the nodes: stop event, end of the program, errors of courier."""

import dataclasses
import threading
from pathlib import Path

import launchpad as lp

from mukoe.layouts.distributed.runtimes.supervised_runtime import SupervisedRuntime

# Courier raises errors without a common class; these parts of messages mean an unavailable peer.
_UNAVAILABLE = ("Deadline", "navailable", "ocket closed")


@dataclasses.dataclass(frozen=True)
class LaunchpadRuntime(SupervisedRuntime):
    """Implementation of `mukoe.layouts.distributed.nodes.runtime.Runtime`.

    workdir: directory of the run, which receives failure reports.
    """

    workdir: Path

    @property
    def stop_event(self) -> threading.Event:
        """Stop event of the node in this thread."""
        return lp.stop_event()

    def stop_program(self) -> None:
        """Stops all nodes of the program."""
        lp.stop()

    def is_unavailable(self, error: Exception) -> bool:
        """Returns whether an error of a courier client means that its server is unavailable."""
        return isinstance(error, TimeoutError) or any(hint in str(error) for hint in _UNAVAILABLE)
