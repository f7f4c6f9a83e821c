"""Process of one node; a script that the launcher starts.

node_process.py --data_file FILE TITLE
"""

import os
import pickle
import signal
import sys
import threading
import traceback

from mukoe.errors import UserError
from mukoe.layouts.distributed.runtimes.zeromq.node_runtime import ZeroMQRuntime
from mukoe.layouts.distributed.runtimes.zeromq.program import Program

_POLL_SECONDS = 0.2


def main(data_file: str, title: str) -> int:
    """Runs a node and returns the exit status of the process.

    Args:
      data_file: file of the launcher: the pickled program, and the function that stops it.
      title: title of the node, such as `actor/0`.
    """
    with open(data_file, "rb") as file:
        program, stop_program = pickle.load(file)
    return run_until_stopped(program, title, ZeroMQRuntime(program.workdir, stop_program))


def run_until_stopped(program: Program, title: str, runtime: ZeroMQRuntime) -> int:
    """Runs a node, which SIGTERM stops, and returns the exit status of the process."""
    signal.signal(signal.SIGTERM, lambda *_: runtime.stop_event.set())
    status = [1]
    # A signal is handled between two steps of the main thread, which must not be compiling.
    node = threading.Thread(target=_run, args=(program, title, runtime, status), daemon=True)
    node.start()
    while node.is_alive():
        node.join(_POLL_SECONDS)
    return status[0]


def _run(program: Program, title: str, runtime: ZeroMQRuntime, status: list[int]) -> None:
    try:
        program.run_node(title, runtime)
        status[0] = 0
    except BaseException as error:
        if isinstance(error, UserError):
            print(f"error: {error}", file=sys.stderr)
        else:
            traceback.print_exc()
        if runtime.stop_event.is_set():
            status[0] = 0


if __name__ == "__main__":
    result = main(sys.argv[2], sys.argv[3])
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that wait for a peer are not joined.
    os._exit(result)
