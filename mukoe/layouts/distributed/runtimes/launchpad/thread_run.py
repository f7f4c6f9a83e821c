"""A program in threads of the launcher's process, run by Launchpad."""

import threading
import time
from pathlib import Path
from typing import Any

from mukoe.layouts.distributed.runtimes.runs import Run


class ThreadRun(Run):
    """A program in threads of this process, run by Launchpad, without restarts."""

    def __init__(self, manager: Any, workdir: Path):
        """Waits for the nodes in a thread.

        Args:
          manager: worker manager of `lp.launch`.
          workdir: directory of the run.
        """
        super().__init__(workdir)
        self._manager = manager
        self._waited = threading.Event()
        threading.Thread(target=self._wait, daemon=True).start()

    def _stop_nodes(self) -> None:
        threading.Thread(target=self._manager.stop_and_wait, daemon=True).start()

    def _all_ended(self) -> bool:
        return self._waited.is_set()

    def _wait(self) -> None:
        """Waits for the nodes; if one fails, Launchpad stops the others."""
        try:
            self._manager.wait()
        except BaseException:  # Launchpad raises the error of the node
            self._has_failed = self._stopping_since is None
            if self._stopping_since is None:
                self._stopping_since = time.monotonic()
            self._manager.wait(raise_error=False)
        self._waited.set()
