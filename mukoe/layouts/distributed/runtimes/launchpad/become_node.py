"""One node of the program in this process, run by Launchpad's `process_entry` as on Vertex AI."""

import functools
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import launchpad as lp
from launchpad.launch import serialization

from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.distributed.graph import make_graph
from mukoe.layouts.distributed.runtimes.cluster_spec import (
    VARIABLE,
    ClusterSpec,
    check,
    memory_of,
)
from mukoe.layouts.distributed.runtimes.launchpad.program import make_program
from mukoe.layouts.distributed.runtimes.launchpad.standalone_node import standalone_nodes


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
    graph = make_graph(experiment, functools.partial(memory_of, group))
    program, counter = make_program(graph, workdir)
    nodes = standalone_nodes(program, counter, workdir)
    check(spec, {name: len(members) for name, members in nodes.items()}, group, index)
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
