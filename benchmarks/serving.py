"""Inference server behind a transport as in `InferenceNode`, and its clients in another process."""

import contextlib
import importlib.util
import json
import subprocess
import tempfile
import threading
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from measure import start_child

from mukoe.acting.inference import InferenceServer
from mukoe.layouts.distributed.runtimes.zeromq.client import Client
from mukoe.layouts.distributed.runtimes.zeromq.endpoints import Endpoint, digest
from mukoe.layouts.distributed.runtimes.zeromq.program import served_methods
from mukoe.layouts.distributed.runtimes.zeromq.server import Server
from mukoe.types import PolicyParams

RUNTIMES = (*["launchpad"] * bool(importlib.util.find_spec("courier")), "zeromq")
"""Runtimes whose transport is installed."""


class Parameters:
    """Source of constant parameters."""

    def __init__(self, params: Any):
        self._params = PolicyParams(params, np.int32(0))

    def get_variables(self, names: Sequence[str]) -> list[PolicyParams]:
        return [self._params for _ in names]


@contextmanager
def serve_on(runtime: str, server: InferenceServer) -> Iterator[str]:
    """Runs the server in a thread, and yields the address of its methods.

    Args:
      runtime: 'launchpad' for courier, or 'zeromq'.
      server: server to run.
    """
    with _courier(server) if runtime == "launchpad" else _zeromq(server) as address:
        stop = threading.Event()
        thread = threading.Thread(target=server.run, args=(stop.is_set,), daemon=True)
        thread.start()
        try:
            yield address
        finally:
            stop.set()
            thread.join(10)


def connect(address: str) -> Any:
    """Returns a client of a server of `serve_on`."""
    if address.startswith("ipc:"):
        return Client(Endpoint(address, digest("benchmark")), 60.0)
    import courier

    return courier.Client(address)


@contextmanager
def _courier(server: InferenceServer) -> Iterator[str]:
    import courier

    transport = courier.Server("inference")
    for method in ("wait_until_ready", "open_session", "act", "get_parameters"):
        transport.Bind(method, getattr(server, method))
    transport.Start()
    try:
        yield f"localhost:{transport.port}"
    finally:
        transport.Stop()


@contextmanager
def _zeromq(server: InferenceServer) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="mukoe-benchmark-") as folder:
        endpoint = Endpoint(f"ipc://{folder}/inference", digest("benchmark"))
        node = types.SimpleNamespace(
            submit=server.submit,
            open_session=server.open_session,
            wait_until_ready=server.wait_until_ready,
            get_parameters=server.get_parameters,
            reanalyse=None,
        )
        with contextlib.closing(Server(endpoint, *served_methods("inference/0", node))):
            yield endpoint.address


class LineProcess:
    """Python process that prints "ready" and answers each line with a line of JSON."""

    def __init__(self, arguments: Sequence[str], name: str, **options: Any):
        """Starts the process.

        Args:
          arguments: arguments of the interpreter.
          name: name in error messages.
          **options: options of `subprocess.Popen`.
        """
        self._name = name
        self._process = start_child(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
        )

    def __enter__(self) -> "LineProcess":
        if self._process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{self._name} did not start")
        return self

    def __exit__(self, *error: object) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def ask(self, line: object) -> Any:
        """Returns the answer to a line.

        Raises:
          RuntimeError: the process has died.
        """
        print(line, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self._name} died of '{line}'")
        return json.loads(answer)
