"""One node of the program in this process, on TCP, without a launcher."""

import functools
from collections.abc import Mapping
from pathlib import Path

from mukoe.layouts.common.experiment import ExperimentConfig, TrainingConfig
from mukoe.layouts.distributed.graph import make_graph
from mukoe.layouts.distributed.placement import group_sizes
from mukoe.layouts.distributed.runtimes.cluster_spec import ClusterSpec, check, memory_of
from mukoe.layouts.distributed.runtimes.counter_link import CounterLink, report_stop
from mukoe.layouts.distributed.runtimes.zeromq.node_process import run_until_stopped
from mukoe.layouts.distributed.runtimes.zeromq.node_runtime import ZeroMQRuntime
from mukoe.layouts.distributed.runtimes.zeromq.program import SERVING_GROUPS, make_program
from mukoe.layouts.distributed.supervision import supervised
from mukoe.layouts.distributed.supervision.node import label_of


def become_node(
    config: TrainingConfig,
    experiment: ExperimentConfig,
    workdir: Path,
    spec: ClusterSpec,
    title: str,
    secret: bytes,
) -> int:
    """Runs a node until the program ends, and returns the exit status of the process.

    Args:
      config: configuration of the run, the same for all nodes.
      experiment: its experiment.
      workdir: directory of the run, shared by all nodes.
      spec: addresses of the nodes.
      title: title of the node, such as `actor/0`.
      secret: secret of the connections, the same for all nodes.

    Raises:
      UserError: the program has no such node, or the spec has other nodes.
    """
    group, _, index = title.partition("/")
    check(spec, group_sizes(experiment), group, int(index))
    graph = make_graph(experiment, functools.partial(memory_of, group), in_process_replay=True)
    program = make_program(graph, workdir, _addresses(spec), config, secret)
    label = label_of(title)
    supervised.become_node(workdir, label)
    supervised.start_heartbeat()
    counter = program.connect_counter()
    runtime = ZeroMQRuntime(workdir, functools.partial(report_stop, counter))
    link = CounterLink(counter, label, runtime.stop_event)
    status = run_until_stopped(program, title, runtime)
    if status == 0:
        link.wait_for_program()
    return status


def _addresses(spec: ClusterSpec) -> Mapping[str, str]:
    return {
        f"{group}/{index}": f"tcp://{address}"
        for group in SERVING_GROUPS
        for index, address in enumerate(spec.get(group, ()))
    }
