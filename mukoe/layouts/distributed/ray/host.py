"""What runs on the machines of a Ray cluster: for each node of the program, a host of its process.

Every Ray worker that hosts a node imports this module, so it needs little memory: neither JAX nor
Launchpad.
"""

import contextlib
import dataclasses
import importlib.util
import os
import random
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from mukoe.layouts.distributed.supervision.process import LocalProcess
from mukoe.system import process_environment

_PORT_TRIES = 1000


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a node has come to be.

    machine: Ray's id of it.
    host: its address.
    ports: that are free there.
    """

    machine: str
    host: str
    ports: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Job:
    """A process to be started.

    functions: pickled, as Launchpad's process entry wants them.
    environment: variables, beside those of `process_environment`.
    threads, cpu_only: of `process_environment`, which looks at the machine that it is called on.
    log_path: gets what is printed.
    working_directory: of the launcher; used where the machine has it, too.
    """

    functions: bytes
    environment: Mapping[str, str]
    threads: int
    cpu_only: bool
    log_path: Path
    working_directory: str


class Host:
    """An actor of Ray that runs one process of a node; the process dies with it."""

    def __init__(self) -> None:
        self._reserved: list[socket.socket] = []
        self._process: LocalProcess | None = None

    def place(self, before: Place | None, num_ports: int, first: int, last: int) -> Place:
        """Returns where this is, and reserves ports until the process starts.

        Args:
          before: of an earlier process, whose ports are taken where they are on this machine.
          num_ports: how many are needed.
          first: of the ports that may be taken.
          last: of these.
        """
        import ray

        random_ = random.SystemRandom()
        machine = ray.get_runtime_context().get_node_id()
        # Connections of the process before linger at its ports.
        tries = [(p, True) for p in before.ports] if before and before.machine == machine else []
        tries += [(random_.randint(first, last), False) for _ in range(_PORT_TRIES)]
        for port, again in tries:
            if len(self._reserved) < num_ports and (reserved := _reserve(port, again)):
                self._reserved.append(reserved)
        if len(self._reserved) < num_ports:
            raise RuntimeError(f"no free port from {first} to {last}")
        return Place(
            machine=machine,
            host=ray.util.get_node_ip_address(),
            ports=tuple(reserved.getsockname()[1] for reserved in self._reserved),
        )

    def start(self, job: Job) -> tuple[int | None, bytes]:
        """Starts the process, and returns its `status`."""
        while self._reserved:
            self._reserved.pop().close()
        # In memory, so that no file is left over.
        descriptor = os.memfd_create("job")
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(job.functions)
            command = [sys.executable, _process_entry(), f"--data_file=/proc/self/fd/{descriptor}"]
            self._process = LocalProcess(
                # Launchpad in the node never kills it.
                [*command, "--lp_task_id=0", "--lp_termination_notice_secs=-1"],
                {**process_environment(job.threads, job.cpu_only), **job.environment},
                job.log_path,
                [descriptor],
                job.working_directory if os.path.isdir(job.working_directory) else None,
            )
        finally:
            os.close(descriptor)
        return self.status()

    def status(self) -> tuple[int | None, bytes]:
        """The process's exit status, None while it runs; what it has said since the last call."""
        assert self._process is not None
        # In this order, so that nothing is lost that it says before it ends.
        status = self._process.poll()
        return status, self._process.hear()

    def send_signal(self, number: int) -> None:
        """Sends the process a signal."""
        if self._process is not None:
            self._process.send_signal(number)


def sees(path: Path) -> bool:
    """Whether a file exists on this machine."""
    # What a network file system remembers of the folder may be old.
    with contextlib.suppress(OSError):
        os.listdir(path.parent)
    return path.exists()


def _process_entry() -> str:
    launchpad = importlib.util.find_spec("launchpad")
    if launchpad is None or launchpad.origin is None:
        raise ModuleNotFoundError("Launchpad is not installed")
    return str(Path(launchpad.origin).parent / "nodes" / "python" / "process_entry.py")


def _reserve(port: int, again: bool = False) -> socket.socket | None:
    """Returns a socket that is bound to a port of all interfaces; None where it is taken.

    Args:
      port: wanted.
      again: it has been served before: its connections may not be closed yet.
    """
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, again)
    try:
        bound.bind(("", port))
        return bound
    except OSError:
        bound.close()
        return None
