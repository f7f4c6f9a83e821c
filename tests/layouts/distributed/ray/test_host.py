"""The host of a process on a machine of a cluster, without the cluster."""

import os
import signal
import socket
import time

import pytest

from mukoe.layouts.distributed.ray import host as ray_host
from mukoe.layouts.distributed.ray.host import Host, Job

pytestmark = pytest.mark.timeout(120)

ENTRY = """
import os, sys, threading, time
assert sys.argv[1] == "--data_file" and sys.argv[3:] == ["actor/0", "--further"], sys.argv
data = open(sys.argv[2]).read()
print(data, os.environ["NAME"], os.environ["JAX_PLATFORMS"], os.getcwd(), flush=True)
print(os.environ["PYTHONPATH"], flush=True)
os.write(int(os.environ["MUKOE_HEARTBEAT"]), b"..s")
time.sleep(1000)
"""


@pytest.fixture
def entry(tmp_path, monkeypatch):
    path = tmp_path / "entry.py"
    path.write_text(ENTRY)
    monkeypatch.setattr(ray_host, "_script", lambda module: str(path.parent / f"{module}.py"))


def test_a_job_runs_as_told_and_ends_as_told(entry, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/of/the/machine")
    host, log = Host(), tmp_path / "logs" / "actor" / "0"
    descriptors = os.listdir("/proc/self/fd")
    arguments = ("actor/0", "--further")
    there = log, str(tmp_path), "/shared/modules"
    job = Job("entry", b"pickled", arguments, {"NAME": "ann"}, 1, True, *there)
    status, heard = host.start(job)
    end = time.monotonic() + 60
    while b"s" not in heard:
        assert status is None and time.monotonic() < end
        time.sleep(0.02)
        status, more = host.status()
        heard += more
    variables = f"/shared/modules{os.pathsep}/of/the/machine"
    assert log.read_text() == f"pickled ann cpu {tmp_path}\n{variables}\n"
    assert heard == b"..s"
    host.send_signal(signal.SIGTERM)
    while host.status()[0] is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert host.status() == (-signal.SIGTERM, b"")
    # The pipe alone is left.
    assert len(os.listdir("/proc/self/fd")) <= len(descriptors) + 1


def test_a_reserved_port_is_nobody_else_s():
    reserved = next(filter(None, map(ray_host._reserve, range(21000, 22000))))
    port = reserved.getsockname()[1]
    assert ray_host._reserve(port) is None
    reserved.close()
    # A connection of the process before is not closed yet.
    with socket.socket() as server, socket.socket() as client:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)  # as gRPC does
        server.bind(("", port))
        server.listen()
        client.connect(("127.0.0.1", port))
        accepted = server.accept()[0]
        assert ray_host._reserve(port, again=True) is None
        server.close()
        assert ray_host._reserve(port) is None
        again = ray_host._reserve(port, again=True)
        assert again is not None and ray_host._reserve(port) is None
        again.close()
        accepted.close()


def test_the_script_of_a_module_is_its_file():
    assert ray_host._script(ray_host.__name__) == ray_host.__file__
    with pytest.raises(ModuleNotFoundError, match="no_such_package is not installed"):
        ray_host._script("no_such_package.nodes.process_entry")


def test_a_file_is_seen_where_it_is(tmp_path):
    assert not ray_host.sees(tmp_path / "folder" / "token")
    (tmp_path / "token").touch()
    assert ray_host.sees(tmp_path / "token")
