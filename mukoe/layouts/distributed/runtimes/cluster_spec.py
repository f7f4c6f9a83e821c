"""Addresses of the nodes of a program on several machines, in the form of Vertex AI."""

import json
from collections.abc import Mapping, Sequence

from mukoe.errors import UserError
from mukoe.layouts.distributed.graph import MachineMemory

VARIABLE = "CLUSTER_SPEC"

ClusterSpec = Mapping[str, Sequence[str]]
"""The addresses `HOST:PORT` of the nodes of each group, in the order of their indices."""


def from_environment(environment: Mapping[str, str]) -> ClusterSpec:
    """Reads CLUSTER_SPEC.

    Raises:
      UserError: the variable is missing or malformed.
    """
    right = f'{VARIABLE} must be {{"cluster": {{"replay": ["HOST:PORT"], "counter": ...}}}}'
    try:
        cluster = json.loads(environment[VARIABLE])["cluster"]
    except KeyError as error:
        raise UserError(f"{right}; there is no {error}") from error
    except (json.JSONDecodeError, TypeError) as error:
        raise UserError(f"{right}: {error}") from error
    for group, addresses in cluster.items():
        for address in addresses:
            if not str(address).rpartition(":")[2].isdecimal():
                raise UserError(f"{right}; {address!r} of {group} is no HOST:PORT")
    return cluster


def memory_of(own_group: str, group: str) -> MachineMemory:
    """Returns the memory of a group's machine; only that of this node's is known."""
    return MachineMemory.THIS_MACHINE if group == own_group else MachineMemory.UNKNOWN


def check(spec: ClusterSpec, sizes: Mapping[str, int], group: str, index: int) -> None:
    """Checks that a program has a node, and that a spec has the nodes of the program.

    Args:
      spec: addresses of `from_environment`.
      sizes: number of nodes of each group.
      group: group of the node.
      index: index of the node in its group.

    Raises:
      UserError: the program has no such node, or the spec has other nodes.
    """
    if index >= sizes.get(group, 0):
        has = ", ".join(f"{name}/0..{size - 1}" for name, size in sizes.items())
        raise UserError(f"the program has no node {group}/{index}; it has {has}")
    for name, size in sizes.items():
        if len(spec.get(name, ())) != size:
            raise UserError(
                f"{VARIABLE} has {len(spec.get(name, ()))} addresses of {name}, and the program "
                f"has {size} such nodes"
            )
