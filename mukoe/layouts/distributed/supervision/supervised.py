"""What a node does for its supervisor: it says that it lives, why it died, and asks for the end."""

import contextlib
import functools
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HEARTBEAT_VARIABLE = "MUKOE_HEARTBEAT"
RESTARTS_VARIABLE = "MUKOE_RESTARTS"
# The label of the node.
NODE_VARIABLE = "MUKOE_NODE"
# A file that is touched at each sign of life, for the health check of a container.
HEARTBEAT_FILE_VARIABLE = "MUKOE_HEARTBEAT_FILE"

FAILURE_FILE = "failure.json"
FAILURES = "failures"
STARTS = "starts"

# What a node says to its supervisor.
BEAT = b"."
STOP = b"s"

_BEAT_SECONDS = 1.0


def is_supervised() -> bool:
    """Whether this process is a node of its own, which is started again when it dies."""
    return NODE_VARIABLE in os.environ


def is_alone() -> bool:
    """Whether the node's launcher is not there: only its container's runtime starts it again."""
    return is_supervised() and HEARTBEAT_VARIABLE not in os.environ


def become_node(workdir: Path, label: str) -> None:
    """Makes this process a node that is started again by whoever runs its container.

    Nobody tells such a process how often that has happened, so it counts in the workdir.
    """
    path = workdir / STARTS / label
    starts = 0
    with contextlib.suppress(OSError):
        text = path.read_text()
        # A process that died here has left half of a file.
        starts = int(text) if text.isdecimal() else 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(starts + 1))
    os.environ.update({NODE_VARIABLE: label, RESTARTS_VARIABLE: str(starts)})


def show_label() -> None:
    """Makes the node's label what `ps -e` and `top` call this process."""
    if label := os.environ.get(NODE_VARIABLE):
        with contextlib.suppress(OSError):  # not Linux
            Path("/proc/self/comm").write_text(label)


def restarts() -> int:
    """How often this node was started again; 0 for the first process of a run."""
    return int(os.environ.get(RESTARTS_VARIABLE, "0"))


def start_heartbeat() -> None:
    """Tells the supervisor now and then every second, from a thread, that this process lives."""
    if any(thread.name == "heartbeat" for thread in threading.enumerate()):
        return
    descriptor, file = os.environ.get(HEARTBEAT_VARIABLE), os.environ.get(HEARTBEAT_FILE_VARIABLE)
    if descriptor is not None:
        os.set_blocking(int(descriptor), False)
        beat = functools.partial(_say_beat, int(descriptor))
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


def _say_beat(descriptor: int) -> None:
    # A supervisor that is stopped itself reads nothing, and the pipe fills; one that is dead
    # takes this process along.
    with contextlib.suppress(BlockingIOError, BrokenPipeError):
        os.write(descriptor, BEAT)


def ask_for_stop() -> None:
    """Asks the launcher to end the program, where it is too far away for a signal."""
    os.write(int(os.environ[HEARTBEAT_VARIABLE]), STOP)


def write_failure(workdir: Path, label: str, failure: dict[str, Any]) -> None:
    """Writes why a node failed: for its supervisor, or else, if it is the first, for the run."""
    with contextlib.suppress(OSError):
        if is_supervised():
            path = workdir / FAILURES / f"{label}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(failure))
        else:
            with open(workdir / FAILURE_FILE, "x") as file:
                json.dump(failure, file)


def read_failure(path: Path) -> dict[str, Any] | None:
    """Returns what `write_failure` has written; None where that is nothing whole."""
    with contextlib.suppress(OSError, json.JSONDecodeError):
        return json.loads(path.read_text())
    return None
