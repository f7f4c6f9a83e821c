"""Logger that starts a process, which sends the run to a tracker."""

import logging
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from mukoe.observability.loggers.base import WriteGuard
from mukoe.observability.trackers.follow import later

_LOGGER = logging.getLogger(__name__)

# The process ends itself before, except if its client blocks the interpreter.
_CLOSE_SECONDS = 35.0
_MODULE = "mukoe.observability.trackers.follow"


class TrackerProcess:
    """Sends the CSV files of all nodes to a tracker, from a process that training never waits for.

    The first entry starts the process, which reads the files itself. It ends on its own after the
    end of this process.
    """

    def __init__(self, workdir: Path, name: str):
        """Stores the arguments.

        Args:
          workdir: directory of the run.
          name: name of the tracker.
        """
        self._workdir = workdir
        self._name = name
        self._guard = WriteGuard(f"the logger '{name}'")
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._tried = False

    def write(self, data: Mapping[str, Any]) -> None:
        """Starts the process at the first call; later calls do nothing."""
        del data  # It is in a CSV file.
        if not self._tried:
            self._tried = True
            self._guard.run(self._start)

    def close(self) -> None:
        """Waits until the rest is sent, for at most 35 s, and warns where that is too short."""
        process, self._process = self._process, None
        if process is None or process.stdin is None or self._reader is None:
            return
        process.stdin.close()
        try:
            process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            _LOGGER.warning(
                "the logger '%s' did not end within %.0f s: %s",
                self._name,
                _CLOSE_SECONDS,
                later(self._workdir),
            )
        self._reader.join(1.0)

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, str(self._workdir), self._name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # Only the run receives Ctrl-C.
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=_show_warnings, args=(self._process.stdout,), name=self._name, daemon=True
        )
        self._reader.start()


def _show_warnings(lines: IO[str]) -> None:
    with lines:
        for line in lines:
            _LOGGER.warning(line.rstrip("\n"))
