"""Nodes that run without a launcher beside them: in containers, on machines of their own.

Such a node polls the counter once a second. `lp.stop()` of any node sets a report of the counter;
all nodes then stop, replay after the learner has saved, and the counter last. Each process exits
with status 0, so that a program ends without a launcher. Vertex AI or a container's restart policy
restarts a process after any other status, and the node resumes from the files of the run.
"""

import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import launchpad as lp

from mukoe.layouts.distributed.supervision import supervised
from mukoe.layouts.distributed.supervision.node import SERVING, label_of
from mukoe.system import write_atomically

_POLL_SECONDS = 1.0
# Time for which the counter serves after the end of the learner, so that all nodes receive it.
_COUNTER_STAYS_SECONDS = 10.0
# Longest wait for any node at the end of the program.
_LONGEST_END_SECONDS = 60.0
# Longest time without the counter, as the learner waits for replay.
_LONGEST_OUTAGE_SECONDS = 600.0

_STOPPING, _LEARNER_ENDED = "stopping", "learner_ended"


@dataclasses.dataclass(frozen=True)
class StandaloneNode:
    """Node without a launcher, in the form of Launchpad's serialisation.

    node: node of the program with bound addresses.
    label: label of the node, such as `actor_0`.
    workdir: directory of the run on the node's machine.
    counter: handle of the program's counter.
    files: texts by file name, which the counter writes into the workdir when it starts.
    """

    node: lp.PyNode
    label: str
    workdir: Path
    counter: lp.CourierHandle
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def function(self) -> Callable[[], None]:
        """Function of the process."""
        stop = functools.partial(_report_stop, self.counter)
        self.node.launch_context.initialize(lp.LaunchType.VERTEX_AI, None, stop)
        files = self.files if self.label == "counter" else {}
        return functools.partial(
            _run, self.node.function, self.label, self.workdir, self.counter, files
        )


def standalone_nodes(
    program: lp.Program,
    counter: lp.CourierHandle,
    workdir: Path,
    files: Mapping[str, str] | None = None,
) -> dict[str, list[StandaloneNode]]:
    """Returns the nodes of each group of a program, in its order; see `StandaloneNode`."""
    return {
        group: [
            StandaloneNode(node, label_of(f"{group}/{index}"), workdir, counter, files or {})
            for index, node in enumerate(nodes)
        ]
        for group, nodes in program.groups.items()
    }


def _report_stop(counter: lp.CourierHandle) -> None:
    counter.dereference().report(**{_STOPPING: True})


def _run(
    function: Callable[[], None],
    label: str,
    workdir: Path,
    counter: lp.CourierHandle,
    files: Mapping[str, str],
) -> None:
    """Runs a node to the end of the program; raises the error of the node."""
    supervised.become_node(workdir, label)
    supervised.start_heartbeat()
    for name, text in files.items():
        write_atomically(workdir / name, text)
    link = _CounterLink(counter.dereference(), label, lp.stop_event())
    function()
    link.wait_for_program()


class _CounterLink:
    """Sets the node's stop event when the program ends."""

    def __init__(self, counter: Any, label: str, stop: threading.Event):
        self._counter = counter
        self._label = label
        self._stop = stop
        self._ending_since: float | None = None
        self._lost = False
        threading.Thread(target=self._watch, daemon=True).start()

    def wait_for_program(self) -> None:
        """Returns when a stopping program has ended, or after a minute.

        Vertex AI ends the whole job with the process of its first pool.

        Raises:
          RuntimeError: the counter was unavailable for too long.
        """
        if self._lost:
            raise RuntimeError(f"the counter has not answered for {_LONGEST_OUTAGE_SECONDS:.0f} s")
        if self._label == "counter" or self._ending_since is None:
            return
        while time.monotonic() - self._ending_since < _LONGEST_END_SECONDS:
            try:
                self._counter.get_counts()
            except Exception:  # the transport's errors have no common class
                return
            time.sleep(_POLL_SECONDS)

    def _watch(self) -> None:
        received_at = time.monotonic()
        while not self._stop.wait(_POLL_SECONDS):
            try:
                _, reports = self._counter.snapshot()
                received_at = time.monotonic()
            except Exception:  # the transport's errors have no common class
                # A counter that becomes unavailable in a stopping program has ended.
                reports = {_LEARNER_ENDED: self._ending_since is not None}
            if reports.get(_STOPPING) and self._ending_since is None:
                self._ending_since = time.monotonic()
            if self._ending_since is not None:
                self._end(bool(reports.get(_LEARNER_ENDED)))
            elif time.monotonic() - received_at > _LONGEST_OUTAGE_SECONDS:
                self._lost = True
                self._stop.set()

    def _end(self, learner_ended: bool) -> None:
        """Stops the node if it need not wait for the learner."""
        assert self._ending_since is not None
        late = time.monotonic() - self._ending_since > _LONGEST_END_SECONDS
        if self._label == "counter" and learner_ended:
            self._stop.wait(_COUNTER_STAYS_SECONDS)
        if self._label not in SERVING or learner_ended or late:
            self._stop.set()
