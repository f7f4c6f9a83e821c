"""Fork server: a process that imports modules once, and forks nodes.

python -m mukoe.layouts.distributed.supervision.fork_server SOCKET MODULE...

The import of JAX and TensorFlow takes most of a node's start, and memory that forks share.
`forking` starts this process and exchanges JSON messages with it through the socket; a request
carries the files that the node writes to. No thread is started here, since a fork would lack it.
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
    """Request to start a node.

    command: interpreter, script and its arguments.
    environment: variables in addition to those of the server.
    """

    command: list[str]
    environment: dict[str, str]


class Reply(NamedTuple):
    """Message of the server.

    event: 'ready' once, 'started' after each request, 'ended' after each end of a node.
    pid: process id of the node; 0 for 'ready'.
    status: exit status of an ended node; negative for a signal.
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
    """Runs a script as the interpreter would; exits the process if it succeeds.

    The exit skips the finalisation of the interpreter, which would write to most of the shared
    memory and take a third of a second; the node has closed its files before.
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
    """Serves requests; returns None at the end, and in a fork the script to run."""
    wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _send(requests, Reply("ready"))
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
            _send(requests, Reply("started", pid))
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in (wake, woken):
            os.close(end)
        return _become(request, files, server)


def _reap(requests: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _send(requests, Reply("ended", ended[0], os.waitstatus_to_exitcode(ended[1])))


def _send(requests: socket.socket, reply: Reply) -> None:
    requests.send(json.dumps(reply._asdict()).encode())


def _become(request: Request, files: list[int], server: int) -> str:
    """Sets up a fork like a process of the command; returns the script."""
    if not parent_death_signal.tie_to(server):
        os._exit(1)
    # Only the launcher receives Ctrl-C; it stops the nodes in order.
    os.setsid()
    log, heartbeat = files
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    os.close(log)
    os.environ.update(request.environment)
    os.environ[supervised.HEARTBEAT_VARIABLE] = str(heartbeat)
    # Python reseeds its own generator in a fork.
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    sys.argv = request.command[1:]
    return sys.argv[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
