"""Addresses of nodes, which follow from the placement by Ray.

A process receives the addresses that it needs in an environment variable, so that the pickled node
is independent of the placement of its peers.
"""

import json
import os
from collections.abc import Mapping, Sequence

import launchpad as lp
from launchpad import address as lp_address
from launchpad.nodes import base

ADDRESSES_VARIABLE = "MUKOE_ADDRESSES"


class NamedAddress(lp_address.AbstractAddressBuilder):
    """Address that is looked up by its name."""

    def __init__(self, name: str):
        self.name = name

    def build(self) -> str:
        """Returns `HOST:PORT`.

        Raises:
          KeyError: the node has no machine yet.
        """
        return json.loads(os.environ.get(ADDRESSES_VARIABLE, "{}"))[self.name]


def to_environment(addresses: Mapping[str, str]) -> dict[str, str]:
    """Returns the variable from which `NamedAddress` takes addresses by name."""
    return {ADDRESSES_VARIABLE: json.dumps(addresses)}


def bind(program: lp.Program) -> dict[str, list[str]]:
    """Names all addresses of a program; returns the names by the title of their node."""
    names: dict[str, list[str]] = {}
    for title, node in titled_nodes(program):
        names[title] = [f"{title}/{index}" for index in range(len(node.addresses))]
        for name, address in zip(names[title], node.addresses, strict=True):
            address.bind(NamedAddress(name))
    return names


def needed_by(node: base.Node) -> list[str]:
    """Returns the names of the addresses of a node and its peers; the program must be bound."""
    known: Sequence[lp_address.Address] = [handle._address for handle in node.input_handles]
    return sorted({address._address_builder.name for address in [*node.addresses, *known]})


def titled_nodes(program: lp.Program) -> list[tuple[str, base.Node]]:
    """Returns the nodes of a program with their titles, such as `actor/0`."""
    return [
        (f"{group}/{index}", node)
        for group, nodes in program.groups.items()
        for index, node in enumerate(nodes)
    ]
