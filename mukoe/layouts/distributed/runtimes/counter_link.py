"""End of nodes that run without a launcher beside them: in containers, on machines of their own.

Such a node polls the counter once a second. The end of the program is a report of the counter; all
nodes then stop, replay after the learner has saved, and the counter last. Each process exits with
status 0, so that a program ends without a launcher. A container's restart policy restarts a process
after any other status, and the node resumes from the files of the run.
"""

import threading
import time
from typing import Any

from mukoe.layouts.distributed.supervision.node import SERVING

_POLL_SECONDS = 1.0
# Time for which the counter serves after the end of the learner, so that all nodes receive it.
_COUNTER_STAYS_SECONDS = 10.0
# Longest wait for any node at the end of the program.
_LONGEST_END_SECONDS = 60.0
# Longest time without the counter, as the learner waits for replay.
_LONGEST_OUTAGE_SECONDS = 600.0

_STOPPING, _LEARNER_ENDED = "stopping", "learner_ended"


def report_stop(counter: Any) -> None:
    """Stops all nodes of the program.

    Args:
      counter: client of the counter.
    """
    counter.report(**{_STOPPING: True})


class CounterLink:
    """Sets the node's stop event when the program ends."""

    def __init__(self, counter: Any, label: str, stop: threading.Event):
        """Polls in a thread.

        Args:
          counter: client of the counter.
          label: label of the node, such as `actor_0`.
          stop: stop event of the node.
        """
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
