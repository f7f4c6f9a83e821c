"""One node of the program in this process, with the addresses of all nodes in CLUSTER_SPEC.

The variable has the form of Vertex AI, and Launchpad's `process_entry` runs the node, as there.
"""

import functools
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import launchpad as lp
from launchpad.launch import serialization

from mukoe.errors import UserError
from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.distributed.graph import MachineMemory, make_graph
from mukoe.layouts.distributed.runtimes.launchpad.program import make_program
from mukoe.layouts.distributed.runtimes.launchpad.standalone_node import standalone_nodes

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


def become_node(
    experiment: ExperimentConfig, workdir: Path, spec: ClusterSpec, group: str, index: int
) -> NoReturn:
    """Replaces this process by a node, which ends with 0 when the program ends.

    Args:
      experiment: agent, environment and settings, the same for all nodes.
      workdir: directory of the run, shared by all nodes.
      spec: addresses of `from_environment`.
      group: group of the node.
      index: index of the node in its group.

    Raises:
      UserError: the program has no such node, or the spec has other nodes.
    """
    graph = make_graph(experiment, functools.partial(_memory_of, group))
    program, counter = make_program(graph, workdir)
    nodes = standalone_nodes(program, counter, workdir)
    _check(spec, {name: len(members) for name, members in nodes.items()}, group, index)
    for name, members in nodes.items():
        for instance, lone in enumerate(members):
            lone.node.launch_context.initialize(lp.LaunchType.VERTEX_AI, None)
            lone.node.bind_addresses(cluster=name, instance=instance)
    data_file = Path(tempfile.mkdtemp(), "job.pkl")
    serialization.serialize_functions(str(data_file), group, [n.function for n in nodes[group]])
    task = {"cluster": spec, "task": {"type": group, "index": index}}
    entry = ["-m", "launchpad.nodes.python.process_entry", "--lp_termination_notice_secs=-1"]
    os.execve(
        sys.executable,
        [sys.executable, *entry, f"--data_file={data_file}"],
        {**os.environ, VARIABLE: json.dumps(task)},
    )


def _memory_of(own_group: str, group: str) -> MachineMemory:
    """Returns the memory of a group's machine; only that of this node's is known."""
    return MachineMemory.THIS_MACHINE if group == own_group else MachineMemory.UNKNOWN


def _check(spec: ClusterSpec, sizes: Mapping[str, int], group: str, index: int) -> None:
    if index >= sizes.get(group, 0):
        has = ", ".join(f"{name}/0..{size - 1}" for name, size in sizes.items())
        raise UserError(f"the program has no node {group}/{index}; it has {has}")
    for name, size in sizes.items():
        if len(spec.get(name, ())) != size:
            raise UserError(
                f"{VARIABLE} has {len(spec.get(name, ()))} addresses of {name}, and the program "
                f"has {size} such nodes"
            )
