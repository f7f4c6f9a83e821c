"""Client of the launcher that shows the progress of a program."""

import threading
from collections.abc import Mapping
from typing import Any

import launchpad as lp

from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.common.reporting import make_progress
from mukoe.observability.progress import ProgressLine


class CounterWatcher:
    """Updates the progress line from the counter, in a thread.

    reports: newest reports of the counter.
    actor_steps: newest count of agent steps.
    """

    def __init__(self, counter: lp.CourierHandle, experiment: ExperimentConfig, line: ProgressLine):
        """Starts the thread.

        Args:
          counter: handle of the counter.
          experiment: agent, environment and settings.
          line: progress line.
        """
        self._experiment = experiment
        self._line = line
        self.reports: Mapping[str, Any] = {}
        self.actor_steps = 0
        self._closed = threading.Event()
        counter.set_client_kwargs(call_timeout=5.0)
        self._counter = counter
        threading.Thread(target=self._watch, daemon=True).start()

    def close(self) -> None:
        """Ends the thread."""
        self._closed.set()

    def _watch(self) -> None:
        client: lp.CourierClient | None = None
        while not self._closed.wait(1.0):
            try:
                client = client or self._counter.dereference()
                counts, self.reports = client.snapshot()
                self.actor_steps = counts.get("actor_steps", 0)
                self._line.update(make_progress(self._experiment, counts, dict(self.reports)))
            except Exception:  # unavailable, or at another address after a restart
                client = None
