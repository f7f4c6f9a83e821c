"""Runs the program of a runtime on a Ray cluster.

Each node is a process under a Ray actor that reserves its resources. A supervisor in the launcher
restarts dead nodes, as on one machine. Addresses follow from the machines that Ray finds.
"""

import contextlib
import functools
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

# Ray reads both when it is imported: no usage statistics, and no messages of raylets on the
# terminal, where the supervisor reports the restarts.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")

import ray  # noqa: E402
from ray.exceptions import GetTimeoutError, RayError  # noqa: E402
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: E402

from mukoe.configuration.import_folders import copy_imported_files  # noqa: E402
from mukoe.errors import UserError  # noqa: E402
from mukoe.layouts.common.experiment import ExperimentConfig  # noqa: E402
from mukoe.layouts.distributed.placement import group_sizes  # noqa: E402
from mukoe.layouts.distributed.ray import host as ray_host  # noqa: E402
from mukoe.layouts.distributed.ray.cluster import (  # noqa: E402
    RayClusterConfig,
    check_resources,
    describe_amounts,
    machines_for,
)
from mukoe.layouts.distributed.ray.process import RayNode, RayProcess  # noqa: E402
from mukoe.layouts.distributed.runtimes.launcher import run_to_end  # noqa: E402
from mukoe.layouts.distributed.runtimes.remote_nodes import (  # noqa: E402
    RemoteProgram,
    to_environment,
)
from mukoe.layouts.distributed.runtimes.runs import ProcessRun  # noqa: E402
from mukoe.layouts.distributed.supervision.node import label_of  # noqa: E402
from mukoe.layouts.distributed.supervision.supervisor import Restart, Supervisor  # noqa: E402
from mukoe.terminal.progress_line import ProgressLine  # noqa: E402

# Folder of the workdir with the user's modules, which other machines may not have.
_MODULES = "modules"
_CONNECT_SECONDS = 10.0
_LOOK_SECONDS = 180.0
# Wait for a machine after which a node is reported.
_REPORT_SECONDS = 60.0


def launch(
    program: RemoteProgram,
    experiment: ExperimentConfig,
    workdir: Path,
    cluster: RayClusterConfig,
) -> int:
    """Runs a program to its end and returns its exit status; see `run_to_end`.

    Must be called in `connected`, after `check`.

    Args:
      program: nodes of the program, and the connection to its counter.
      experiment: agent, environment and settings.
      workdir: directory of the run, in a folder shared by all machines.
      cluster: resources of each group.

    Raises:
      UserError: a machine of the cluster lacks the workdir or mukoe.
    """
    groups = {node.group for node in program.nodes}
    _check_workdir(workdir, [m for m in _machines() if _is_of_use(m, groups, cluster)])
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
    has = {_name(machine): machine["Resources"] for machine in _machines()}
    check_resources(cluster, group_sizes(experiment), has)


@contextlib.contextmanager
def connected(ray_address: str | None) -> Iterator[None]:
    """Connects this process to a Ray cluster in a `with` block.

    Args:
      ray_address: `HOST:PORT` of the cluster's head; `local` starts a cluster on this machine,
        which ends with the connection; None for RAY_ADDRESS, or the cluster of this machine.

    Raises:
      UserError: there is no cluster, or it cannot be used.
    """
    if ray_address and "://" in ray_address:
        raise UserError(
            f"--ray_address={ray_address} is not HOST:PORT: start the program on a machine of "
            "the cluster (Ray's client is not supported)"
        )
    address = ray_address or os.environ.get("RAY_ADDRESS") or "auto"
    try:
        if ":" in address:
            # Ray alone would retry for minutes.
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"cannot use the Ray cluster at {address}: {reason}. Start one by `ray start --head`, "
            "or give --ray_address=HOST:PORT of its head"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


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

        super().__init__(workdir, line, supervise)

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


def _machines() -> list[dict[str, Any]]:
    return [machine for machine in ray.nodes() if machine["Alive"]]


def _name(machine: dict[str, Any]) -> str:
    """Returns a name to show; several Ray nodes may run on one machine."""
    return f"{machine['NodeManagerAddress']} (Ray node {machine['NodeID'][:6]})"


def _is_of_use(machine: dict[str, Any], groups: Iterable[str], cluster: RayClusterConfig) -> bool:
    """Returns whether a node of some groups fits the machine."""
    has = {"": machine["Resources"]}
    return any(machines_for(cluster.of(group).amounts, has) for group in groups)


def _check_workdir(workdir: Path, machines: list[dict[str, Any]]) -> None:
    """Raises a UserError if a machine lacks the workdir or mukoe."""
    token = workdir / f".shared-{uuid.uuid4().hex}"
    token.touch()
    try:
        looks = {
            _name(machine): ray.remote(ray_host.sees)
            .options(
                num_cpus=0,
                max_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(machine["NodeID"], soft=False),
            )
            .remote(token)
            for machine in machines
        }
        ray.wait(list(looks.values()), num_returns=len(looks), timeout=_LOOK_SECONDS)
        blind = [name for name, look in looks.items() if not _answer(name, look)]
    finally:
        token.unlink(missing_ok=True)
    if blind:
        raise UserError(
            f"the workdir {workdir} is not shared: {', '.join(blind)} cannot read a file written "
            "here; give a --workdir in a folder that all machines mount at the same path"
        )


def _answer(name: str, look: Any) -> bool:
    try:
        return ray.get(look, timeout=0)
    except GetTimeoutError as error:
        raise UserError(
            f"the machine {name} of the Ray cluster has not started a worker in {_LOOK_SECONDS:g} s"
        ) from error
    except (RayError, ImportError) as error:
        reason = " ".join(str(error).split())[-300:]
        raise UserError(
            f"the machine {name} of the Ray cluster cannot run mukoe: {reason}; install the same "
            "versions as here on all machines"
        ) from error
