"""Nodes of a program whose processes are placed on the machines of a cluster.

A process receives the addresses that it needs in an environment variable, so that the pickled node
is independent of the placement of its peers.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

ADDRESSES_VARIABLE = "MUKOE_ADDRESSES"


@dataclasses.dataclass(frozen=True)
class RemoteNode:
    """Node of a program before its placement.

    title: group and index, such as `actor/0`.
    entry: module of the process, a script that takes `--data_file FILE`.
    data: content of that file.
    arguments: further arguments of the script.
    own_addresses: names of the addresses at which it serves.
    needed_addresses: names of its own addresses and those of its peers.
    """

    title: str
    entry: str
    data: bytes
    arguments: tuple[str, ...]
    own_addresses: tuple[str, ...]
    needed_addresses: tuple[str, ...]

    @property
    def group(self) -> str:
        """Group of the node, such as `actor`."""
        return self.title.partition("/")[0]


@dataclasses.dataclass(frozen=True)
class RemoteProgram:
    """Program before the placement of its nodes.

    nodes: nodes of the program.
    connect: function that returns a client of the program's counter.
    access: predicate of the open addresses on the terminal, which names their peers.
    """

    nodes: Sequence[RemoteNode]
    connect: Callable[[], Any]
    access: str


def to_environment(addresses: Mapping[str, str]) -> dict[str, str]:
    """Returns the variable from which `placed_address` takes addresses by name."""
    return {ADDRESSES_VARIABLE: json.dumps(addresses)}


def placed_address(name: str) -> str:
    """Returns the `HOST:PORT` of a name.

    Raises:
      KeyError: the node has no machine yet.
    """
    return json.loads(os.environ.get(ADDRESSES_VARIABLE, "{}"))[name]
