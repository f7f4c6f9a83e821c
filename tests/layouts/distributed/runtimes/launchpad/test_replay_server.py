"""A Reverb server that dies: what comes back, and what its clients notice."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import portpicker
import pytest

pytest.importorskip("reverb")

import reverb  # noqa: E402

from mukoe.layouts.distributed.runtimes.launchpad.replay_server import (  # noqa: E402
    ReplaySaver,
    replay_folder,
    serve,
)

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(900)]


def make_tables():
    fifo, uniform = reverb.selectors.Fifo(), reverb.selectors.Uniform()
    return [reverb.Table("replay", uniform, fifo, 1000, reverb.rate_limiters.MinSize(1))]


def work(port, folder):
    server = serve(make_tables, port, folder)
    print("up", flush=True)
    time.sleep(1000)
    del server


class Server:
    """A server in a process of its own."""

    def __init__(self, workdir):
        self.workdir = workdir
        self.port = portpicker.pick_unused_port()
        self.client = reverb.Client(f"localhost:{self.port}")
        self.start()

    def start(self):
        command = [sys.executable, __file__, str(self.port), str(replay_folder(self.workdir))]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline().strip() == "up"

    def kill(self):
        self.process.kill()
        self.process.wait(30)
        self.process.stdout.close()

    @property
    def size(self):
        return self.client.server_info(timeout=30)["replay"].current_size

    def save(self):
        saver = ReplaySaver(self.client, self.workdir)
        saver.start()
        saver.wait(60)

    def insert(self, count):
        with self.client.trajectory_writer(num_keep_alive_refs=1) as writer:
            for _ in range(count):
                writer.append({"x": np.float32(1)})
                writer.create_item("replay", 1.0, {"x": writer.history["x"][-1:]})
            writer.flush(timeout_ms=30_000)


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    yield server
    server.kill()


def test_a_server_comes_back_with_its_checkpoint_and_clients_find_it(server):
    server.insert(10)
    server.save()
    server.insert(5)
    server.kill()
    threading.Timer(1.0, server.start).start()
    assert server.size == 10
    server.insert(3)
    assert server.size == 13


def test_a_damaged_checkpoint_falls_back_to_the_one_before(server, tmp_path):
    server.insert(10)
    server.save()
    server.insert(5)
    server.save()
    (newest,) = replay_folder(tmp_path).glob("*/DONE")
    (before,) = replay_folder(tmp_path).with_name("replay_before").glob("*/DONE")
    assert newest.parent.name > before.parent.name
    server.kill()
    chunks = newest.with_name("chunks.tfrecord")
    content = bytearray(chunks.read_bytes())
    content[len(content) // 2] ^= 255
    chunks.write_bytes(content)
    server.start()
    assert server.size == 10


def test_with_nothing_to_read_a_server_is_empty(server):
    assert server.size == 0


if __name__ == "__main__":
    work(int(sys.argv[1]), Path(sys.argv[2]))
