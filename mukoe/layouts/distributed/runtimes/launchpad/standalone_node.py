"""Nodes of Launchpad without a launcher, on Vertex AI and in containers; see `counter_link`."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import launchpad as lp

from mukoe.layouts.distributed.runtimes.counter_link import CounterLink, report_stop
from mukoe.layouts.distributed.supervision import supervised
from mukoe.layouts.distributed.supervision.node import label_of
from mukoe.system import write_atomically


@dataclasses.dataclass(frozen=True)
class StandaloneNode:
    """Node without a launcher, in the form of Launchpad's serialisation.

    node: node of the program with bound addresses.
    label: label of the node, such as `actor_0`.
    workdir: directory of the run on the node's machine.
    counter: handle of the program's counter.
    files: texts by file name, which the counter writes into the workdir when it starts.
    """

    node: lp.PyNode
    label: str
    workdir: Path
    counter: lp.CourierHandle
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def function(self) -> Callable[[], None]:
        """Function of the process."""
        stop = functools.partial(_report_stop, self.counter)
        self.node.launch_context.initialize(lp.LaunchType.VERTEX_AI, None, stop)
        files = self.files if self.label == "counter" else {}
        return functools.partial(
            _run, self.node.function, self.label, self.workdir, self.counter, files
        )


def standalone_nodes(
    program: lp.Program,
    counter: lp.CourierHandle,
    workdir: Path,
    files: Mapping[str, str] | None = None,
) -> dict[str, list[StandaloneNode]]:
    """Returns the nodes of each group of a program, in its order; see `StandaloneNode`."""
    return {
        group: [
            StandaloneNode(node, label_of(f"{group}/{index}"), workdir, counter, files or {})
            for index, node in enumerate(nodes)
        ]
        for group, nodes in program.groups.items()
    }


def _report_stop(counter: lp.CourierHandle) -> None:
    report_stop(counter.dereference())


def _run(
    function: Callable[[], None],
    label: str,
    workdir: Path,
    counter: lp.CourierHandle,
    files: Mapping[str, str],
) -> None:
    """Runs a node to the end of the program; raises the error of the node."""
    supervised.become_node(workdir, label)
    supervised.start_heartbeat()
    for name, text in files.items():
        write_atomically(workdir / name, text)
    link = CounterLink(counter.dereference(), label, lp.stop_event())
    function()
    link.wait_for_program()
