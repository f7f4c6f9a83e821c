"""Nodes of a program on ZeroMQ that are placed on other machines, and their addresses."""

import os
import pickle

import pytest

pytest.importorskip("zmq")

from mukoe.agents.muzero.config import MuZeroConfig  # noqa: E402
from mukoe.environments.gymnasium.config import GymnasiumConfig  # noqa: E402
from mukoe.layouts.common.experiment import DistributedConfig, TrainingConfig  # noqa: E402
from mukoe.layouts.distributed.graph import make_graph  # noqa: E402
from mukoe.layouts.distributed.runtimes.remote_nodes import to_environment  # noqa: E402
from mukoe.layouts.distributed.runtimes.zeromq.endpoints import Endpoint  # noqa: E402
from mukoe.layouts.distributed.runtimes.zeromq.remote_nodes import (  # noqa: E402
    PlacedCounter,
    make_remote_program,
)
from mukoe.layouts.distributed.runtimes.zeromq.server import Server  # noqa: E402
from mukoe.learning.reanalysis import ReanalyseConfig  # noqa: E402


def make_remote(workdir, reanalysis="local"):
    config = TrainingConfig(
        GymnasiumConfig("CartPole-v1"),
        MuZeroConfig(reanalyse=ReanalyseConfig(mode="nodes")),
        distributed=DistributedConfig(
            num_actors=2,
            num_reanalysers=1,
            inference="server",
            num_inference_servers=2,
            reanalysis=reanalysis,
        ),
    )
    graph = make_graph(config.make_experiment(), in_process_replay=True)
    return make_remote_program(graph, workdir, config, resume=False)


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    return make_remote(tmp_path_factory.mktemp("run"))


@pytest.fixture
def place(monkeypatch):
    """Function that places a node."""

    def place(address, name="counter/0/0"):
        for key, value in to_environment({name: address}).items():
            monkeypatch.setitem(os.environ, key, value)

    return place


def test_a_node_needs_its_own_address_and_those_of_its_peers(remote):
    needed = {
        node.title: {n.rpartition("/")[0] for n in node.needed_addresses} for node in remote.nodes
    }
    servers = {"inference/0", "inference/1"}
    assert needed == {
        "replay/0": {"replay/0"},
        "counter/0": {"counter/0", "replay/0"},
        "learner/0": {"learner/0", "replay/0", "counter/0"},
        "inference/0": {"inference/0", "counter/0", "learner/0"},
        "inference/1": {"inference/1", "counter/0", "learner/0"},
        "actor/0": {"replay/0", "counter/0", "learner/0", *servers},
        "actor/1": {"replay/0", "counter/0", "learner/0", *servers},
        "reanalyser/0": {"replay/0", "learner/0"},
        "evaluator/0": {"counter/0", "learner/0"},
    }
    assert [n.title for n in remote.nodes if n.own_addresses] == [
        *("replay/0", "counter/0", "learner/0"),
        *sorted(servers),
    ]


def test_a_reanalyser_needs_the_servers_that_search_for_it(tmp_path):
    remote = make_remote(tmp_path, reanalysis="server")
    (node,) = (node for node in remote.nodes if node.group == "reanalyser")
    assert {"inference/0/0", "inference/1/0"} <= set(node.needed_addresses)


def test_every_start_has_a_secret_of_its_own(remote, tmp_path):
    programs = [pickle.loads(r.nodes[0].data)[0] for r in (remote, make_remote(tmp_path))]
    secrets = {program.secret for program in programs}
    assert len(secrets) == 2 and all(len(secret) >= 16 for secret in secrets)


def test_an_address_follows_from_the_placement(remote, place, monkeypatch):
    monkeypatch.delenv("MUKOE_ADDRESSES", raising=False)
    program, _ = pickle.loads(remote.nodes[0].data)
    with pytest.raises(KeyError):
        program.endpoint("counter/0")
    for there in ("10.0.0.1:20000", "10.0.0.2:20001"):
        place(there)
        assert program.endpoint("counter/0").address == f"tcp://{there}"


def test_the_launcher_follows_the_counter_to_another_machine(remote, place, unused_tcp_ports):
    program, _ = pickle.loads(remote.nodes[0].data)
    connect = PlacedCounter(program)
    for number, port in enumerate(unused_tcp_ports):
        place(f"127.0.0.1:{port}")
        endpoint = Endpoint(f"tcp://127.0.0.1:{port}", program.run, program.secret)
        server = Server(endpoint, {"snapshot": lambda number=number: number}, {})
        client = connect()
        assert client.snapshot() == number and connect() is client
        server.close()


@pytest.fixture
def unused_tcp_ports():
    import socket

    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [bound.getsockname()[1] for bound in sockets]
    for bound in sockets:
        bound.close()
    return ports
