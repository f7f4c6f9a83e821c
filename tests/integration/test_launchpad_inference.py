"""Inference servers behind real courier: an actor loses the process of its server."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

courier = pytest.importorskip("courier")
portpicker = pytest.importorskip("portpicker")

from mukoe.acting.inference import (  # noqa: E402
    InferenceConfig,
    RemoteRunner,
    ServerConnection,
)
from mukoe.errors import UserError  # noqa: E402

pytestmark = [pytest.mark.launchpad, pytest.mark.faults, pytest.mark.timeout(120)]

SERVER = """
import sys
import courier
from tiny_policy import make_server, running

server = make_server()
with running(server):
    served = courier.Server("inference", port=int(sys.argv[1]))
    for method in ("wait_until_ready", "open_session", "act"):
        served.Bind(method, getattr(server, method))
    served.Start()
    sys.stdin.read()
    served.Stop()
"""
ONE, FIRST, NEXT = np.ones((1, 2), np.float32), np.array([True]), np.array([False])


@pytest.fixture
def processes():
    helpers = Path(__file__).parents[1] / "acting" / "inference"
    ports = [portpicker.pick_unused_port() for _ in range(2)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SERVER, str(port)],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(helpers)},
        )
        for port in ports
    ]
    yield list(zip(started, ports, strict=True))
    for process in started:
        process.kill()
        process.wait()


def value(runner, is_first):
    return runner.submit(ONE, is_first)()[1]["value"][0]


def test_an_actor_moves_at_once_where_the_process_of_its_server_is_killed(processes):
    clients = [
        courier.Client(f"localhost:{port}", call_timeout=60, wait_for_ready=False)
        for _, port in processes
    ]
    connection = ServerConnection(clients, "actor", 1, InferenceConfig())
    connection.open()
    # The second one may come up later.
    ServerConnection(clients[1:], "other", 1, InferenceConfig()).open()
    runner = RemoteRunner(connection)
    assert [value(runner, FIRST), value(runner, NEXT)] == [4.0, 8.0]
    with pytest.raises(UserError, match=r"^actor sent is_first bool\[3\], expected bool\[1\]$"):
        runner.submit(ONE, np.ones(3, bool))()

    processes[0][0].send_signal(signal.SIGKILL)
    processes[0][0].wait()
    started = time.monotonic()
    assert [value(runner, NEXT), value(runner, NEXT)] == [4.0, 8.0]
    assert time.monotonic() - started < 10 and connection.moves == 1
