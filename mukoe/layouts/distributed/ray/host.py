"""Host of a node's process on a machine of a Ray cluster.

Every Ray worker that hosts a node imports this module. It imports neither JAX nor a runtime, to
keep the memory of the workers small.
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

from mukoe.configuration.import_folders import prepend_import_folder
from mukoe.layouts.distributed.supervision.process import LocalProcess
from mukoe.system import process_environment

_PORT_TRIES = 1000


@dataclasses.dataclass(frozen=True)
class Place:
    """Placement of a node.

    machine: Ray's id of the machine.
    host: address of the machine.
    ports: reserved ports of the machine.
    """

    machine: str
    host: str
    ports: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Job:
    """Description of a process to start.

    entry: see `RemoteNode`.
    data: see `RemoteNode`.
    arguments: see `RemoteNode`.
    environment: variables in addition to those of `process_environment`.
    threads: argument of `process_environment`, which depends on the machine.
    cpu_only: argument of `process_environment`.
    log_path: file of the output.
    working_directory: directory of the launcher; used if the machine has it too.
    import_folder: folder of the user's modules, shared by all machines.
    """

    entry: str
    data: bytes
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    threads: int
    cpu_only: bool
    log_path: Path
    working_directory: str
    import_folder: str


class Host:
    """Ray actor that runs one process of a node; the process dies with it."""

    def __init__(self) -> None:
        self._reserved: list[socket.socket] = []
        self._process: LocalProcess | None = None

    def place(self, before: Place | None, num_ports: int, first: int, last: int) -> Place:
        """Returns this placement, and reserves ports until the process starts.

        Args:
          before: placement of an earlier process; its ports are reused on the same machine.
          num_ports: number of ports.
          first: lowest port.
          last: highest port.

        Raises:
          RuntimeError: the range has too few free ports.
        """
        import ray

        random_ = random.SystemRandom()
        machine = ray.get_runtime_context().get_node_id()
        # Connections of the process before may linger at its ports.
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
        # In memory, so that no file remains.
        descriptor = os.memfd_create("job")
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(job.data)
            command = [sys.executable, _script(job.entry)]
            self._process = LocalProcess(
                [*command, "--data_file", f"/proc/self/fd/{descriptor}", *job.arguments],
                {
                    **process_environment(job.threads, job.cpu_only),
                    **job.environment,
                    "PYTHONPATH": prepend_import_folder(job.import_folder),
                },
                job.log_path,
                [descriptor],
                job.working_directory if os.path.isdir(job.working_directory) else None,
            )
        finally:
            os.close(descriptor)
        return self.status()

    def status(self) -> tuple[int | None, bytes]:
        """Returns the exit status, None while the process runs, and its new messages."""
        assert self._process is not None
        # In this order, so that no message before the end is lost.
        status = self._process.poll()
        return status, self._process.read_messages()

    def send_signal(self, number: int) -> None:
        """Sends the process a signal."""
        if self._process is not None:
            self._process.send_signal(number)


def sees(path: Path) -> bool:
    """Returns whether a file exists on this machine."""
    # A network file system may cache an old state of the folder.
    with contextlib.suppress(OSError):
        os.listdir(path.parent)
    return path.exists()


def _script(module: str) -> str:
    """Returns the file of a module without importing its packages."""
    package, *parts = module.split(".")
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed")
    return f"{Path(found.origin).parent.joinpath(*parts)}.py"


def _reserve(port: int, again: bool = False) -> socket.socket | None:
    """Returns a socket that is bound to a port of all interfaces; None if the port is in use.

    Args:
      port: port to bind.
      again: True for a port of an earlier process, whose connections may not be closed yet.
    """
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, again)
    try:
        bound.bind(("", port))
        return bound
    except OSError:
        bound.close()
        return None
