"""Nodes of a program on ZeroMQ for the machines of a cluster, with a secret of their own."""

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

import cloudpickle

from mukoe.layouts.common.experiment import TrainingConfig
from mukoe.layouts.distributed.graph import ProgramGraph
from mukoe.layouts.distributed.runtimes.remote_nodes import (
    RemoteNode,
    RemoteProgram,
    placed_address,
)
from mukoe.layouts.distributed.runtimes.zeromq import node_process
from mukoe.layouts.distributed.runtimes.zeromq.client import Client
from mukoe.layouts.distributed.runtimes.zeromq.program import (
    Program,
    make_program,
    serves,
    titles,
)
from mukoe.layouts.distributed.supervision import supervised

_SECRET_BYTES = 32


class PlacedAddresses(Mapping[str, str]):
    """Addresses for ZeroMQ by title, each of which is known once its node has a machine."""

    def __init__(self, serving: tuple[str, ...]):
        """Makes the mapping.

        Args:
          serving: titles of the nodes that serve others.
        """
        self._serving = serving

    def __getitem__(self, title: str) -> str:
        return f"tcp://{placed_address(_name(title))}"

    def __iter__(self) -> Iterator[str]:
        return iter(self._serving)

    def __len__(self) -> int:
        return len(self._serving)


class PlacedCounter:
    """Connection of the launcher to the counter, whose address may change."""

    def __init__(self, program: Program):
        """Prepares the connection.

        Args:
          program: program with `PlacedAddresses`.
        """
        self._program = program
        self._client: Client | None = None
        self._address = ""

    def __call__(self) -> Client:
        """Returns a client of the counter.

        Raises:
          KeyError: the counter has no machine yet.
        """
        address = self._program.addresses["counter/0"]
        if self._client is None or address != self._address:
            if self._client is not None:
                self._client.close()
            self._client, self._address = self._program.connect_counter(), address
        return self._client


def make_remote_program(
    graph: ProgramGraph, workdir: Path, config: TrainingConfig, resume: bool
) -> RemoteProgram:
    """Makes the program of an experiment, with a new secret.

    Args:
      graph: checked experiment.
      workdir: directory of the run.
      config: configuration of the run.
      resume: True to resume from the newest checkpoint in `workdir`, if there is one.
    """
    serving = tuple(filter(serves, titles(graph)))
    secret = secrets.token_hex(_SECRET_BYTES).encode()
    program = make_program(graph, workdir, PlacedAddresses(serving), config, secret, resume)
    return RemoteProgram(
        make_remote_nodes(program), PlacedCounter(program), "accept the nodes of this program only"
    )


def make_remote_nodes(program: Program) -> list[RemoteNode]:
    """Pickles a program with `PlacedAddresses` for each of its nodes."""
    data = cloudpickle.dumps((program, supervised.ask_for_stop))
    nodes = []
    for title in program.titles:
        own = [title] if serves(title) else []
        nodes.append(
            RemoteNode(
                title=title,
                entry=node_process.__name__,
                data=data,
                arguments=(title,),
                own_addresses=tuple(map(_name, own)),
                needed_addresses=tuple(sorted(map(_name, [*own, *program.peers(title)]))),
            )
        )
    return nodes


def _name(title: str) -> str:
    """Returns the name of the address of a node."""
    return f"{title}/0"
