"""A server that is written in another language: `node_server`, with gRPC's own tooling."""

import contextlib
import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("dm_env_rpc")

from dm_env_rpc.v1 import dm_env_rpc_pb2  # noqa: E402
from google.protobuf import any_pb2, descriptor_pb2  # noqa: E402
from google.rpc import status_pb2  # noqa: E402

from mukoe.errors import UserError  # noqa: E402
from tests.environments.remote import remote  # noqa: E402

SOURCE = Path(__file__).parent / "node_server"
CACHE = Path(__file__).parents[3] / ".cache" / "node_server"


@pytest.fixture(scope="module")
def server_files():
    """The server with its packages, which are fetched once for each lock file."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs node and npm")
    sources = [SOURCE / name for name in ("package.json", "package-lock.json", "server.js")]
    content = b"".join(path.read_bytes() for path in sources)
    folder = CACHE / hashlib.sha256(content).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Other workers want them, too.
        if not (folder / "descriptors.pb").exists():
            fetch_packages(sources, folder)
            (folder / "descriptors.pb").write_bytes(descriptors())
    return folder


def fetch_packages(sources, folder):
    for path in sources:
        shutil.copy(path, folder)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    if result.returncode:
        pytest.skip(f"npm ci could not fetch the packages: {result.stderr[-300:]}")


def descriptors():
    """Returns the .proto definitions of dm_env_rpc from the installed Python package."""
    files = descriptor_pb2.FileDescriptorSet()
    for module in (any_pb2, status_pb2, dm_env_rpc_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    return files.SerializeToString()


@contextlib.contextmanager
def corridor(folder, port=0):
    """The server as a process; gives it and its port."""
    command = ["node", "server.js", "descriptors.pb", str(port)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def config(port, **fields):
    return remote(port, evaluation_setting=None, **fields)


RIGHT, STAY, LEFT = (np.array([action], np.int32) for action in (2, 1, 0))


def test_an_environment_in_another_language(server_files):
    with corridor(server_files) as (_, port):
        wire = config(port).make_factory()(0, 1, False)
        assert wire.spec.actions.num_values == 3
        assert wire.spec.observations.features.shape == (7,)
        timestep = wire.reset()
        start = int(np.argmax(timestep.observation.features[0, :6]))
        assert start == wire.environments[0]._seed % 5
        rewards = []
        while not timestep.last().all():
            legal = timestep.observation.legal_actions[0].tolist()
            cell = int(np.argmax(timestep.observation.features[0, :6]))
            assert legal == [cell > 0, True, True]
            timestep = wire.step(RIGHT)
            rewards.append(float(timestep.reward[0]))
        assert rewards == [-0.125] * (4 - start) + [1.0]
        assert timestep.discount.tolist() == [0.0]  # TERMINATED
        assert timestep.observation.features[0].tolist() == [0, 0, 0, 0, 0, 1, len(rewards)]

        timestep = wire.step(RIGHT)
        assert timestep.first().all() and timestep.observation.features[0, 6] == 0
        for _ in range(12):
            timestep = wire.step(STAY)
        assert timestep.last().all() and timestep.discount.tolist() == [1.0]  # INTERRUPTED
        lengths = [result.length for result in wire.finished_episodes()]
        assert lengths == [len(rewards), 12]
        wire.reset(), wire.reset()
        wire.close()


def test_what_the_server_refuses_is_said(server_files):
    with corridor(server_files) as (_, port):
        line = "create_world was rejected: no setting is called evaluation .*evaluation_setting"
        with pytest.raises(UserError, match=line):
            remote(port).make_factory()
        wire = config(port).make_factory()(0, 1, False)
        timestep = wire.reset()
        with pytest.raises(RuntimeError, match="the server reports: there is no cell -1"):
            while not timestep.last():
                timestep = wire.step(LEFT)


def test_a_killed_process_that_comes_back(server_files):
    with corridor(server_files) as (process, port):
        wire = config(port).make_factory()(0, 3, False)
        wire.reset()
        wire.step(np.full(3, 1))
        process.kill()
        process.wait()
    with corridor(server_files, port):
        timestep = wire.step(np.full(3, 1))
        assert timestep.first().all() and (timestep.observation.features[:, 6] == 0).all()
        assert wire.step(np.full(3, 1)).mid().all()
        wire.close()
