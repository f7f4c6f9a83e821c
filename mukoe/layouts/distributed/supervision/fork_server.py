"""A process that imports modules once, and becomes nodes by forking.

python -m mukoe.layouts.distributed.supervision.fork_server SOCKET MODULE...

Importing JAX and TensorFlow takes longer than everything else that a node does at its start, and
memory that forks share. `forking` starts this process and talks to it through the socket: a
message is JSON, and a request brings the files that the node writes to. Nothing here starts a
thread: a fork would lack it.
"""

import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from typing import NamedTuple

from mukoe.layouts.distributed.supervision import parent_death_signal, supervised

MESSAGE_BYTES = 1 << 17


class Request(NamedTuple):
    """A node to be started.

    command: the interpreter, a script and its arguments.
    environment: variables beside those of the server.
    """

    command: list[str]
    environment: dict[str, str]


class Reply(NamedTuple):
    """What the server says.

    event: 'ready' once, 'started' after each request, 'ended'.
    pid: of the node; 0 for 'ready'.
    status: of a node that has ended; negative for a signal.
    """

    event: str
    pid: int = 0
    status: int = 0


def main(descriptor: str, *modules: str) -> None:
    """Imports modules, then forks until the other end closes the socket."""
    for module in modules:
        importlib.import_module(module)
    with socket.socket(fileno=int(descriptor)) as requests:
        script = _serve(requests)
    if script is not None:
        _run(script)


def _run(script: str) -> None:
    """Runs a script as the interpreter would; where it succeeds, the process ends here.

    Taking the interpreter apart would write to most of the memory that a fork shares, and take
    a third of a second, for nothing: a node has closed what it had by then.
    """
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _serve(requests: socket.socket) -> str | None:
    """Returns None at the end, and in a fork the script that it is to run."""
    wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _say(requests, Reply("ready"))
    while True:
        readable, _, _ = select.select([requests.fileno(), wake], [], [])
        if wake in readable:
            os.read(wake, 4096)
            _reap(requests)
        if requests.fileno() not in readable:
            continue
        message, files, _, _ = socket.recv_fds(requests, MESSAGE_BYTES, 2)
        if not message:
            return None
        request = Request(**json.loads(message))
        server = os.getpid()
        if pid := os.fork():
            for file in files:
                os.close(file)
            _say(requests, Reply("started", pid))
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in (wake, woken):
            os.close(end)
        return _become(request, files, server)


def _reap(requests: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _say(requests, Reply("ended", ended[0], os.waitstatus_to_exitcode(ended[1])))


def _say(requests: socket.socket, reply: Reply) -> None:
    requests.send(json.dumps(reply._asdict()).encode())


def _become(request: Request, files: list[int], server: int) -> str:
    """Makes a fork what the command would be in a process of its own; returns its script."""
    if not parent_death_signal.tie_to(server):
        os._exit(1)
    # Ctrl-C is for the launcher alone, which tells the nodes in their order.
    os.setsid()
    log, heartbeat = files
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    os.close(log)
    os.environ.update(request.environment)
    os.environ[supervised.HEARTBEAT_VARIABLE] = str(heartbeat)
    # Python's own generator gets a new state by itself.
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    sys.argv = request.command[1:]
    return sys.argv[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
