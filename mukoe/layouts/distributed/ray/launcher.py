"""Runs the program of a runtime on a Ray cluster.

Each node is a process under a Ray actor that reserves its resources. A supervisor in the launcher
restarts dead nodes, as on one machine. Addresses follow from the machines that Ray finds.
"""

import functools
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mukoe.configuration.import_folders import copy_imported_files
from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.distributed.placement import group_sizes
from mukoe.layouts.distributed.ray.cluster import (
    RayClusterConfig,
    check_resources,
    describe_amounts,
    machines_for,
)
from mukoe.layouts.distributed.ray.connection import check_workdir, machine_name, machines
from mukoe.layouts.distributed.ray.process import RayNode, RayProcess
from mukoe.layouts.distributed.runtimes.launcher import run_to_end
from mukoe.layouts.distributed.runtimes.remote_nodes import (
    RemoteProgram,
    to_environment,
)
from mukoe.layouts.distributed.runtimes.runs import ProcessRun
from mukoe.layouts.distributed.supervision.node import label_of
from mukoe.layouts.distributed.supervision.supervisor import Restart, Supervisor
from mukoe.terminal.progress_line import ProgressLine

# Folder of the workdir with the user's modules, which other machines may not have.
_MODULES = "modules"
# Wait for a machine after which a node is reported.
_REPORT_SECONDS = 60.0


def launch(
    program: RemoteProgram,
    experiment: ExperimentConfig,
    workdir: Path,
    cluster: RayClusterConfig,
) -> int:
    """Runs a program to its end and returns its exit status; see `run_to_end`.

    Must be called in `connection.connected`, after `check`.

    Args:
      program: nodes of the program, and the connection to its counter.
      experiment: agent, environment and settings.
      workdir: directory of the run, in a folder shared by all machines.
      cluster: resources of each group.

    Raises:
      UserError: a machine of the cluster lacks the workdir or mukoe.
    """
    groups = {node.group for node in program.nodes}
    check_workdir(workdir, [m for m in machines() if _is_of_use(m, groups, cluster)])
    modules = workdir / _MODULES
    copy_imported_files(modules)
    nodes = [
        RayNode(
            node,
            cluster.of(node.group),
            experiment.distributed.threads_of(node.group),
            str(modules),
        )
        for node in program.nodes
    ]
    start = functools.partial(_RayRun, workdir, nodes, program.access, experiment, cluster)
    return run_to_end(start, program.connect, experiment, workdir)


def check(experiment: ExperimentConfig, cluster: RayClusterConfig) -> None:
    """Checks that the cluster has the program's resources; raises a UserError otherwise."""
    has = {machine_name(machine): machine["Resources"] for machine in machines()}
    check_resources(cluster, group_sizes(experiment), has)


class _RayRun(ProcessRun):
    """A program of processes on the machines of a cluster."""

    def __init__(
        self,
        workdir: Path,
        nodes: list[RayNode],
        access: str,
        experiment: ExperimentConfig,
        cluster: RayClusterConfig,
        line: ProgressLine,
    ):
        self._nodes = nodes
        self._access = access
        self._cluster = cluster
        self._addresses: dict[str, str] = {}
        self._known: dict[str, str] = {}
        self._announced: dict[str, str] = {}
        self._processes: dict[str, RayProcess] = {}
        self._waiting: set[str] = set()
        config = experiment.distributed

        def supervise(on_restart: Callable[[Restart], None]) -> Supervisor:
            return Supervisor(
                workdir,
                nodes,
                config.max_restarts,
                config.hang_seconds,
                on_restart,
                start_process=self._start,
            )

        super().__init__(workdir, line, supervise, experiment.run.loggers)

    def poll(self, actor_steps: int) -> None:
        """Receives the state of the processes from their machines too; see `Run.poll`."""
        for process in self._processes.values():
            process.poll()
        if self._addresses != self._known:
            self._announce()
        if any(process.wants_stop for process in self._processes.values()):
            self.stop()
        if not self._supervisor.stopping:
            self._check_placement()
        super().poll(actor_steps)

    def _start(self, node: Any, environment: Mapping[str, str], log_path: Path) -> RayProcess:
        process = RayProcess(node, self._addresses, self._cluster, environment, log_path)
        self._processes[node.title] = process
        return process

    def _announce(self) -> None:
        """Passes new addresses to the launcher's clients, and shows them when they are complete."""
        self._known = dict(self._addresses)
        os.environ.update(to_environment(self._addresses))
        complete = len(self._known) == sum(len(node.remote.own_addresses) for node in self._nodes)
        if complete and self._known != self._announced:
            self._announced = self._known
            self._line.message(f"{', '.join(self._addresses.values())} {self._access}")

    def _check_placement(self) -> None:
        """Reports nodes without a machine; fails the program after `placement_seconds`."""
        patience = self._cluster.placement_seconds
        for node in self._nodes:
            process, label = self._processes[node.title], label_of(node.title)
            if not process.wants_place:
                self._waiting.discard(label)
                continue
            waited = time.monotonic() - process.waiting_since
            if waited > _REPORT_SECONDS and label not in self._waiting:
                self._waiting.add(label)
                asked = describe_amounts(node.resources.amounts)
                self._line.message(f"node {label} has no machine yet; it requires {asked}")
            if waited > patience:
                asked = describe_amounts(node.resources.amounts)
                text = f"node {label} found no machine with {asked} free in {patience:g} s"
                failure = {"node": label, "error": f"UserError: {text}", "traceback": text}
                return self._supervisor.fail({**failure, "is_user_error": True})


def _is_of_use(machine: dict[str, Any], groups: Iterable[str], cluster: RayClusterConfig) -> bool:
    """Returns whether a node of some groups fits the machine."""
    has = {"": machine["Resources"]}
    return any(machines_for(cluster.of(group).amounts, has) for group in groups)
