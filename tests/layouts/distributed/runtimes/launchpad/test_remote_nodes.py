"""Nodes of a Launchpad program that are placed on other machines, and their addresses."""

import os

import cloudpickle
import launchpad as lp
import pytest

from mukoe.layouts.distributed.runtimes.launchpad import remote_nodes
from mukoe.layouts.distributed.runtimes.remote_nodes import ADDRESSES_VARIABLE, to_environment


class Server:
    def get(self):
        return 3


class Client:
    def __init__(self, server):
        self.server = server

    def run(self):
        assert self.server is not None


@pytest.fixture
def program():
    program = lp.Program("test")
    with program.group("server"):
        servers = [program.add_node(lp.CourierNode(Server)) for _ in range(2)]
    with program.group("client"):
        program.add_node(lp.PyClassNode(Client, servers[1]))
    return program


def test_addresses_are_named_by_their_nodes(program):
    assert remote_nodes.bind(program) == {
        "server/0": ["server/0/0"],
        "server/1": ["server/1/0"],
        "client/0": [],
    }
    needed = {
        title: remote_nodes.needed_by(node) for title, node in remote_nodes.titled_nodes(program)
    }
    assert needed == {
        "server/0": ["server/0/0"],
        "server/1": ["server/1/0"],
        "client/0": ["server/1/0"],
    }


def test_an_address_is_what_the_environment_of_the_process_says(program, monkeypatch):
    remote_nodes.bind(program)
    address = cloudpickle.loads(cloudpickle.dumps(program.groups["server"][1].courier_address))
    monkeypatch.delenv(ADDRESSES_VARIABLE, raising=False)
    with pytest.raises(KeyError):
        address.resolve()
    for there in ("10.0.0.1:20000", "10.0.0.2:20001"):
        for name, value in to_environment({"server/1/0": there}).items():
            monkeypatch.setitem(os.environ, name, value)
        assert address.resolve() == there
