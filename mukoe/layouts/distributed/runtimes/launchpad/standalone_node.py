"""Nodes that run without a launcher beside them: in containers, on machines of their own.

Such a node asks the counter once a second whether the program goes on. `lp.stop()` of any node
tells the counter, which knows it from then on; everybody stops, replay when the learner has
saved, and the counter last. So a program ends without anybody who watches all of its processes,
each with status 0. Whoever started the process (Vertex AI, a container's restart policy) starts it
again after any other status; it then goes on with what is on the disk.
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
# The counter stays for so long after the learner has ended, so that all hear of it.
_COUNTER_STAYS_SECONDS = 10.0
# A program that ends does not wait longer for any of its nodes.
_LONGEST_END_SECONDS = 60.0
# As the learner for replay.
_LONGEST_SILENCE_SECONDS = 600.0

_STOPPING, _LEARNER_ENDED = "stopping", "learner_ended"


@dataclasses.dataclass(frozen=True)
class StandaloneNode:
    """A node as Launchpad's serialisation takes it, which looks after itself.

    node: of the program; its addresses are bound.
    label: such as `actor_0`.
    workdir: of the run, as the node sees it.
    counter: of the program.
    files: what the counter writes into the workdir when it starts: texts by name.
    """

    node: lp.PyNode
    label: str
    workdir: Path
    counter: lp.CourierHandle
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def function(self) -> Callable[[], None]:
        """What the process calls."""
        stop = functools.partial(_tell_the_end, self.counter)
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
    """The nodes of each group of a program, in the order of the program; see `StandaloneNode`."""
    return {
        group: [
            StandaloneNode(node, label_of(f"{group}/{index}"), workdir, counter, files or {})
            for index, node in enumerate(nodes)
        ]
        for group, nodes in program.groups.items()
    }


def _tell_the_end(counter: lp.CourierHandle) -> None:
    counter.dereference().report(**{_STOPPING: True})


def _run(
    function: Callable[[], None],
    label: str,
    workdir: Path,
    counter: lp.CourierHandle,
    files: Mapping[str, str],
) -> None:
    """Runs a node to the end of the program; raises what it raises."""
    supervised.become_node(workdir, label)
    supervised.start_heartbeat()
    for name, text in files.items():
        write_atomically(workdir / name, text)
    link = _Link(counter.dereference(), label, lp.stop_event())
    function()
    link.wait_for_the_others()


class _Link:
    """Sets the node's stop event when the program ends."""

    def __init__(self, counter: Any, label: str, stop: threading.Event):
        self._counter = counter
        self._label = label
        self._stop = stop
        self._ending_since: float | None = None
        self._lost = False
        threading.Thread(target=self._watch, daemon=True).start()

    def wait_for_the_others(self) -> None:
        """Returns when the program has ended, if it ends, or after a minute.

        Vertex AI ends the whole job with the process of its first pool, whichever node that is.

        Raises:
          RuntimeError: the node ended because the counter was away for too long.
        """
        if self._lost:
            raise RuntimeError(f"the counter has not answered for {_LONGEST_SILENCE_SECONDS:.0f} s")
        if self._label == "counter" or self._ending_since is None:
            return
        while time.monotonic() - self._ending_since < _LONGEST_END_SECONDS:
            try:
                self._counter.get_counts()
            except Exception:  # the transport's errors have no common class
                return
            time.sleep(_POLL_SECONDS)

    def _watch(self) -> None:
        heard_at = time.monotonic()
        while not self._stop.wait(_POLL_SECONDS):
            try:
                _, reports = self._counter.snapshot()
                heard_at = time.monotonic()
            except Exception:  # the transport's errors have no common class
                # A counter that goes away in a program that ends has ended itself.
                reports = {_LEARNER_ENDED: self._ending_since is not None}
            if reports.get(_STOPPING) and self._ending_since is None:
                self._ending_since = time.monotonic()
            if self._ending_since is not None:
                self._end(bool(reports.get(_LEARNER_ENDED)))
            elif time.monotonic() - heard_at > _LONGEST_SILENCE_SECONDS:
                self._lost = True
                self._stop.set()

    def _end(self, learner_ended: bool) -> None:
        """Stops the node, if its turn has come."""
        assert self._ending_since is not None
        late = time.monotonic() - self._ending_since > _LONGEST_END_SECONDS
        if self._label == "counter" and learner_ended:
            self._stop.wait(_COUNTER_STAYS_SECONDS)
        if self._label not in SERVING or learner_ended or late:
            self._stop.set()
