"""Nodes of a Launchpad program for the machines of a cluster."""

import functools
from collections.abc import Sequence
from pathlib import Path

import cloudpickle
import launchpad as lp
from launchpad import address as lp_address
from launchpad import context as lp_context
from launchpad.launch import serialization
from launchpad.nodes import base

from mukoe.layouts.common.experiment import TrainingConfig
from mukoe.layouts.distributed.graph import ProgramGraph
from mukoe.layouts.distributed.runtimes.launchpad.launcher import connect
from mukoe.layouts.distributed.runtimes.launchpad.program import make_program
from mukoe.layouts.distributed.runtimes.remote_nodes import (
    RemoteNode,
    RemoteProgram,
    placed_address,
)
from mukoe.layouts.distributed.supervision import supervised

_ENTRY = "launchpad.nodes.python.process_entry"
# Launchpad in the node never kills it.
_ARGUMENTS = ("--lp_task_id=0", "--lp_termination_notice_secs=-1")


class NamedAddress(lp_address.AbstractAddressBuilder):
    """Address that is looked up by its name."""

    def __init__(self, name: str):
        self.name = name

    def build(self) -> str:
        """Returns `HOST:PORT`; see `placed_address`."""
        return placed_address(self.name)


def make_remote_program(
    graph: ProgramGraph, workdir: Path, config: TrainingConfig, resume: bool
) -> RemoteProgram:
    """Makes the program of an experiment; arguments as of `zeromq.remote_nodes`."""
    program, counter = make_program(graph, workdir, resume)
    return RemoteProgram(
        make_remote_nodes(program),
        functools.partial(connect, counter),
        "are open to every host that reaches these machines: see docs/reliability.md",
    )


def make_remote_nodes(program: lp.Program) -> list[RemoteNode]:
    """Pickles the nodes of a program of `make_program`; binds it to `NamedAddress`es."""
    names = bind(program)
    for node in program.get_all_nodes():
        launch_type = lp_context.LaunchType.LOCAL_MULTI_PROCESSING
        node.launch_context.initialize(launch_type, None, supervised.ask_for_stop)
    serialization.enable_lru_cache_pickling_once()
    return [
        RemoteNode(
            title=title,
            entry=_ENTRY,
            data=cloudpickle.dumps([node.function]),
            arguments=_ARGUMENTS,
            own_addresses=tuple(names[title]),
            needed_addresses=tuple(needed_by(node)),
        )
        for title, node in titled_nodes(program)
    ]


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
