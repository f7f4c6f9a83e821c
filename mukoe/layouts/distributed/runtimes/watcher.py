"""Client of the launcher that shows the progress of a program."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.common.reporting import Stage, make_progress
from mukoe.observability.clipped_targets import ClippedTargets
from mukoe.terminal.progress_line import ProgressLine


class CounterWatcher:
    """Updates the progress line from the counter, in a thread.

    reports: newest reports of the counter.
    counts: newest counts.
    """

    def __init__(
        self, connect: Callable[[], Any], experiment: ExperimentConfig, line: ProgressLine
    ):
        """Starts the thread.

        Args:
          connect: function that returns a client of the counter.
          experiment: agent, environment and settings.
          line: progress line.
        """
        self._experiment = experiment
        self._line = line
        self.reports: Mapping[str, Any] = {}
        self.counts: Mapping[str, int] = {}
        self._stage: Stage | None = None
        self._clipped_targets = ClippedTargets()
        self._closed = threading.Event()
        self._connect = connect
        threading.Thread(target=self._watch, daemon=True).start()

    def show_stage(self, phase: str) -> None:
        """Shows a phase instead of the one that follows from the counts."""
        self._stage = (phase, None, None)
        self._show()

    def close(self) -> None:
        """Ends the thread."""
        self._closed.set()

    @property
    def actor_steps(self) -> int:
        """Newest count of agent steps."""
        return self.counts.get("actor_steps", 0)

    def _watch(self) -> None:
        client: Any = None
        while not self._closed.wait(1.0):
            try:
                client = client or self._connect()
                self.counts, self.reports = client.snapshot()
                self._show()
                self._clipped_targets.check(self.reports)
            except Exception:  # unavailable, or at another address after a restart
                client = None

    def _show(self) -> None:
        reports = {**self.reports, "stage": self._stage}
        self._line.update(make_progress(self._experiment, self.counts, reports, "starting actors"))
