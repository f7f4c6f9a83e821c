"""A node's side of supervision: heartbeats, restart count, failure report, stop request."""

import contextlib
import functools
import json
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mukoe.errors import UserError

HEARTBEAT_VARIABLE = "MUKOE_HEARTBEAT"
RESTARTS_VARIABLE = "MUKOE_RESTARTS"
# Label of the node, such as `actor_0`.
NODE_VARIABLE = "MUKOE_NODE"
# File that is touched at each heartbeat, for the health check of a container.
HEARTBEAT_FILE_VARIABLE = "MUKOE_HEARTBEAT_FILE"

FAILURE_FILE = "failure.json"
FAILURES = "failures"
STARTS = "starts"

# Messages from a node to its supervisor.
BEAT = b"."
STOP = b"s"

_BEAT_SECONDS = 1.0
_STOP_GRACE_SECONDS = 3.0
_LINGER_SECONDS = 4.0


def is_supervised() -> bool:
    """Returns whether this process runs one node and is restarted when it dies."""
    return NODE_VARIABLE in os.environ


def is_alone() -> bool:
    """Returns whether the node has no launcher: only its container's runtime restarts it."""
    return is_supervised() and HEARTBEAT_VARIABLE not in os.environ


def become_node(workdir: Path, label: str) -> None:
    """Makes this process a node that its container's runtime restarts.

    The runtime passes no restart count, so the count is stored in the workdir.

    Args:
      workdir: directory of the run.
      label: label of the node, such as `actor_0`.
    """
    path = workdir / STARTS / label
    starts = 0
    with contextlib.suppress(OSError):
        text = path.read_text()
        # A process that died while writing leaves an incomplete file.
        starts = int(text) if text.isdecimal() else 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(starts + 1))
    os.environ.update({NODE_VARIABLE: label, RESTARTS_VARIABLE: str(starts)})


def show_label() -> None:
    """Sets the process name that `ps -e` and `top` show to the node's label."""
    if label := os.environ.get(NODE_VARIABLE):
        with contextlib.suppress(OSError):  # not Linux
            Path("/proc/self/comm").write_text(label)


def restarts() -> int:
    """Returns the number of restarts of this node; 0 for the first process of a run."""
    return int(os.environ.get(RESTARTS_VARIABLE, "0"))


def start_heartbeat() -> None:
    """Sends a heartbeat now, and then every second from a thread."""
    if any(thread.name == "heartbeat" for thread in threading.enumerate()):
        return
    descriptor, file = os.environ.get(HEARTBEAT_VARIABLE), os.environ.get(HEARTBEAT_FILE_VARIABLE)
    if descriptor is not None:
        os.set_blocking(int(descriptor), False)
        beat = functools.partial(_send_beat, int(descriptor))
    elif file is not None:
        beat = functools.partial(_touch, Path(file))
    else:
        return
    beat()
    threading.Thread(target=_repeat, args=(beat,), name="heartbeat", daemon=True).start()


def _repeat(beat: Callable[[], None]) -> None:
    while True:
        time.sleep(_BEAT_SECONDS)
        beat()


def _touch(file: Path) -> None:
    with contextlib.suppress(OSError):  # a full disk
        file.touch()


def _send_beat(descriptor: int) -> None:
    # The pipe fills up if the supervisor's process is suspended. If it is dead, this process is
    # killed by its parent death signal.
    with contextlib.suppress(BlockingIOError, BrokenPipeError):
        os.write(descriptor, BEAT)


def ask_for_stop() -> None:
    """Asks a launcher on another machine, which no signal reaches, to stop the program."""
    os.write(int(os.environ[HEARTBEAT_VARIABLE]), STOP)


@contextlib.contextmanager
def reporting_failures(workdir: Path, label: str, stop: threading.Event) -> Iterator[None]:
    """Sends heartbeats, and reports an error of the block; ignores errors during shutdown.

    Args:
      workdir: directory of the run, which receives the report.
      label: label of the node, such as `actor_0`.
      stop: stop event of the node.
    """
    start_heartbeat()
    show_label()
    try:
        yield
    except Exception as error:
        # Calls to a peer that stops first fail just before this node's stop event is set.
        if stop.wait(_STOP_GRACE_SECONDS):
            return
        failure = {
            "node": label,
            "error": f"{type(error).__name__}: {error}",
            "is_user_error": isinstance(error, UserError),
            "traceback": traceback.format_exc(),
        }
        write_failure(workdir, label, failure)
        raise


def linger(is_done: Callable[[], bool] = lambda: False) -> None:
    """Keeps a stopped node serving for a few seconds, so that its peers can finish.

    Returns at once in a supervised process: the supervisor stops serving nodes last.

    Args:
      is_done: predicate that ends the wait.
    """
    if is_supervised():
        return
    end = time.monotonic() + _LINGER_SECONDS
    while time.monotonic() < end and not is_done():
        time.sleep(0.1)


def write_failure(workdir: Path, label: str, failure: dict[str, Any]) -> None:
    """Writes the failure of a node for its supervisor.

    Without a supervisor the first failure is written as the failure of the run.
    """
    with contextlib.suppress(OSError):
        if is_supervised():
            path = workdir / FAILURES / f"{label}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(failure))
        else:
            with open(workdir / FAILURE_FILE, "x") as file:
                json.dump(failure, file)


def read_failure(path: Path) -> dict[str, Any] | None:
    """Returns a failure of `write_failure`; None if the file is missing or incomplete."""
    with contextlib.suppress(OSError, json.JSONDecodeError):
        return json.loads(path.read_text())
    return None
