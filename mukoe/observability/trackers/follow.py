"""Process that sends a run to a tracker while the run is in progress.

Started by `TrackerProcess`. Lines on standard output are warnings for the user; the output of the
client goes to WORKDIR/trackers/NAME.log.
"""

import contextlib
import fcntl
import os
import select
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mukoe.errors import UserError
from mukoe.observability.trackers.sender import FOLDER, Sender
from mukoe.observability.trackers.service import Service, load_service

FINISH_SECONDS = 30.0
"""Seconds for which the process may send after the end of the run."""

_PERIOD = 5.0
_RETRY_PERIOD = 60.0

# Passes over the logs take at most this fraction of the time.
_BUSY_FRACTION = 0.05
_LOWER_PRIORITY = 10


def follow(
    workdir: Path,
    name: str,
    service: Service,
    wait: Callable[[float], bool],
    warn: Callable[[str], None],
) -> bool:
    """Sends the run until its end. An error of the client is warned of once and tried again.

    Args:
      workdir: directory of the run.
      name: name of the tracker.
      service: client of the tracker.
      wait: function that waits at most so many seconds and returns whether the run has ended.
      warn: function that shows a line.

    Returns:
      Whether all was sent.
    """
    ended, period, warned = False, 0.0, False
    with tempfile.TemporaryDirectory() as videos:
        sender = Sender(workdir, name, service, Path(videos))
        while True:
            ended = ended or wait(period)
            start = time.monotonic()
            try:
                sender.finish() if ended else sender.send()
                if ended:
                    return True
                period = max(_PERIOD, (time.monotonic() - start) / _BUSY_FRACTION)
            except Exception as error:  # any error of a client: trackers are not essential
                if not warned:
                    warn(f"{describe(name, error)}; the run continues, and {later(workdir)}")
                warned, period = True, _RETRY_PERIOD
                if ended:
                    return False


def describe(name: str, error: Exception) -> str:
    """Returns one line on an error of a client."""
    text = " ".join(str(error).split())[:200]
    return f"the logger '{name}' failed ({type(error).__name__}: {text})"


def later(workdir: Path) -> str:
    """Returns the command that sends what is left."""
    return f"'mukoe sync --workdir={workdir}' sends the rest later"


@contextlib.contextmanager
def exclusive_sender(workdir: Path, name: str, wait: bool) -> Iterator[None]:
    """Locks the tracker of a workdir, to which one process sends at a time.

    Args:
      workdir: directory of the run.
      name: name of the tracker.
      wait: wait until the lock is free.

    Raises:
      UserError: another process has the lock, and `wait` is False.
    """
    (workdir / FOLDER).mkdir(exist_ok=True)
    with open(workdir / FOLDER / f"{name}.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise UserError(
                f"another process sends {workdir} to {name}: wait for the end of the run"
            ) from error
        yield


def main() -> None:
    """Follows the workdir of the first argument for the tracker of the second one."""
    workdir, name = Path(sys.argv[1]), sys.argv[2]
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    (workdir / FOLDER).mkdir(exist_ok=True)
    with open(workdir / FOLDER / f"{name}.log", "a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    with contextlib.suppress(OSError):
        os.nice(_LOWER_PRIORITY)

    def warn(line: str) -> None:
        with contextlib.suppress(OSError):  # the run has ended
            print(line, file=lines)

    def give_up() -> None:
        warn(f"the logger '{name}' needs over {FINISH_SECONDS:.0f} s to end: {later(workdir)}")
        os._exit(1)

    def wait(seconds: float) -> bool:
        """Returns True once the other end of standard input is closed."""
        if not select.select([0], [], [], seconds)[0]:
            return False
        timer = threading.Timer(FINISH_SECONDS, give_up)
        timer.daemon = True
        timer.start()
        return True

    with exclusive_sender(workdir, name, wait=True):
        try:
            service = load_service(name)
        except (UserError, ImportError) as error:
            warn(f"{describe(name, error)}; {later(workdir)}")
            sys.exit(1)
        follow(workdir, name, service, wait, warn)


if __name__ == "__main__":
    main()
