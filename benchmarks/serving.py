"""Inference server behind courier as in `InferenceNode`, and its clients in another process."""

import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from measure import start_child

from mukoe.acting.inference import InferenceServer
from mukoe.types import PolicyParams


class Parameters:
    """Source of constant parameters."""

    def __init__(self, params: Any):
        self._params = PolicyParams(params, np.int32(0))

    def get_variables(self, names: Sequence[str]) -> list[PolicyParams]:
        return [self._params for _ in names]


@contextmanager
def over_courier(server: InferenceServer) -> Iterator[int]:
    """Runs the server in a thread, and yields the port of its methods."""
    import courier

    transport = courier.Server("inference")
    for method in ("wait_until_ready", "open_session", "act", "get_parameters"):
        transport.Bind(method, getattr(server, method))
    transport.Start()
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop.is_set,), daemon=True)
    thread.start()
    try:
        yield transport.port
    finally:
        stop.set()
        thread.join(10)
        transport.Stop()


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
