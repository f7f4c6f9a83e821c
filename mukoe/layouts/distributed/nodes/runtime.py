"""Services that a node receives from the runtime that runs it."""

import contextlib
import threading
from collections.abc import Callable
from typing import NamedTuple, Protocol

from mukoe.replay.handle import SharedReplay
from mukoe.types import Row


class Runtime(Protocol):
    """Services of the runtime, called in the process and thread of a node.

    stop_event: event that is set when the node has to stop.
    restarts: restarts of this node so far.
    is_alone: True if only a container's restart policy watches the node.
    """

    @property
    def stop_event(self) -> threading.Event: ...

    @property
    def restarts(self) -> int: ...

    @property
    def is_alone(self) -> bool: ...

    def stop_program(self) -> None:
        """Stops all nodes of the program."""

    def is_unavailable(self, error: Exception) -> bool:
        """Returns whether an error of a remote call means that the peer is unavailable."""

    def reporting_failures(self, label: str) -> contextlib.AbstractContextManager[None]:
        """Ignores errors during shutdown; reports others with the label, and raises them."""

    def linger(self, is_done: Callable[[], bool] = lambda: False) -> None:
        """Keeps a stopped node serving until its peers are done, or for a few seconds."""


class ReplayStatistics(NamedTuple):
    """Statistics of a replay service.

    size: number of items.
    inserted: items inserted so far.
    sampled: items sampled so far, reanalysed items once.
    """

    size: int
    inserted: int
    sampled: int


class ReplayService(Protocol):
    """Connection to the replay service of a program."""

    def connect(self, row_spec: Row) -> SharedReplay:
        """Returns the handle of the replay.

        Args:
          row_spec: specs of a row.
        """

    def statistics(self) -> ReplayStatistics | None:
        """Returns the statistics; None if the service is unavailable."""

    def start_save(self) -> None:
        """Starts to write a checkpoint of the replay, unless one is being written."""

    def wait_for_save(self, seconds: float) -> None:
        """Waits for the checkpoint that is being written, for at most `seconds`."""
