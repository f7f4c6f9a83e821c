"""Node that holds the counts of the run."""

import contextlib
import json
import threading
from pathlib import Path

from mukoe.layouts.common.checkpointing import open_checkpointer
from mukoe.layouts.common.counting import Counter
from mukoe.layouts.common.shutdown import step_limit_reached
from mukoe.layouts.distributed.nodes.context import NodeContext
from mukoe.layouts.distributed.nodes.runtime import ReplayService
from mukoe.system import write_atomically

_COUNTS_FILE = "counts.json"
_PERIOD_SECONDS = 0.5


def read_counts(workdir: Path) -> dict[str, int]:
    """Returns the counts that the counter of a run has stored last; empty without any."""
    with contextlib.suppress(OSError, json.JSONDecodeError):
        return json.loads((workdir / _COUNTS_FILE).read_text())
    return {}


class CounterNode(Counter):
    """Holds the counts, reports the state of replay, and stops the program at the step limit."""

    def __init__(self, context: NodeContext, replay: ReplayService):
        """Starts from the counts of the run, or of the process before a restart.

        Args:
          context: description of the run.
          replay: connection to the replay service.
        """
        self._context = context
        self._replay = replay
        self._path = context.workdir / _COUNTS_FILE
        self._stop = context.runtime.stop_event
        self._file_lock = threading.Lock()
        super().__init__(self._stored_counts() if context.runtime.restarts else context.counts)
        self.report(start_counts=context.counts)

    def set_counts(self, **counts: int) -> None:
        """Sets counts as `Counter.set_counts` does, and stores them at once."""
        super().set_counts(**counts)
        self._store_counts()

    def run(self) -> None:
        """Stores the counts and reports replay until the program stops."""
        runtime, settings = self._context.runtime, self._context.experiment.run
        with runtime.reporting_failures("counter"):
            stopped = False
            while not self._stop.wait(_PERIOD_SECONDS):
                self._store_counts()
                self._report_replay()
                if not stopped and step_limit_reached(settings, self.get_counts()):
                    runtime.stop_program()
                    stopped = True
            runtime.linger(lambda: self.snapshot()[1].get("learner_ended", False))
            self._store_counts()

    def _stored_counts(self) -> dict[str, int]:
        """Returns the counts of the process before, with the learner steps of the checkpoint.

        The learner may have saved a checkpoint while the counter was unavailable, so that its steps
        are not below those of the checkpoint.
        """
        counts = dict(self._context.counts)
        counts |= read_counts(self._context.workdir)
        saved = open_checkpointer(self._context.workdir).latest_step() or 0
        return counts | {"learner_steps": max(saved, counts.get("learner_steps", 0))}

    def _store_counts(self) -> None:
        with self._file_lock, contextlib.suppress(OSError):  # a full disk
            write_atomically(self._path, json.dumps(self.get_counts()))

    def _report_replay(self) -> None:
        if (statistics := self._replay.statistics()) is not None:
            inserted = statistics.inserted
            self.report(
                replay_size=statistics.size,
                samples_per_insert=statistics.sampled / inserted if inserted else 0.0,
            )
