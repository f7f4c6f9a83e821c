"""What a node does for its supervisor: it says that it lives, and why it died."""

import contextlib
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

HEARTBEAT_VARIABLE = "MUKOE_HEARTBEAT"
RESTARTS_VARIABLE = "MUKOE_RESTARTS"
# The label of the node, for whoever looks at the processes.
NODE_VARIABLE = "MUKOE_NODE"

FAILURE_FILE = "failure.json"
FAILURES = "failures"

_BEAT_SECONDS = 1.0


def is_supervised() -> bool:
    """Whether this process is a node of its own, which is started again when it dies."""
    return HEARTBEAT_VARIABLE in os.environ


def restarts() -> int:
    """How often this node was started again; 0 for the first process of a run."""
    return int(os.environ.get(RESTARTS_VARIABLE, "0"))


def start_heartbeat() -> None:
    """Tells the supervisor once a second, from a thread, that this process is not stopped."""
    descriptor = os.environ.get(HEARTBEAT_VARIABLE)
    if descriptor is None or any(t.name == "heartbeat" for t in threading.enumerate()):
        return
    os.set_blocking(int(descriptor), False)
    threading.Thread(target=_beat, args=(int(descriptor),), name="heartbeat", daemon=True).start()


def _beat(descriptor: int) -> None:
    while True:
        # A supervisor that is stopped itself reads nothing, and the pipe fills.
        with contextlib.suppress(BlockingIOError):
            try:
                os.write(descriptor, b".")
            except BrokenPipeError:
                return
        time.sleep(_BEAT_SECONDS)


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
