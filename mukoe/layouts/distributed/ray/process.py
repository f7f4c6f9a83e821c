"""Supervised process of a node on a machine of a Ray cluster."""

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mukoe.layouts.distributed.ray.cluster import GroupResources, RayClusterConfig
from mukoe.layouts.distributed.ray.host import Host, Job, Place
from mukoe.layouts.distributed.runtimes.remote_nodes import RemoteNode, to_environment
from mukoe.layouts.distributed.supervision import supervised
from mukoe.layouts.distributed.supervision.process import describe_exit

_STATUS_SECONDS = 1.0
# Nodes of these groups are spread over the machines.
_SPREAD = ("actor", "inference", "reanalyser")


@dataclasses.dataclass
class RayNode:
    """Node of the program, as a command of the supervisor.

    remote: node before its placement.
    resources: resources that it reserves.
    threads: number of XLA's threads on the CPU; 0 for all cores.
    import_folder: folder of the user's modules, shared by all machines.
    place: placement of its newest process; None before the first.
    """

    remote: RemoteNode
    resources: GroupResources
    threads: int
    import_folder: str
    place: Place | None = None

    @property
    def title(self) -> str:
        """Group and index, such as `actor/0`."""
        return self.remote.title


class RayProcess:
    """A `Process` in a Ray actor. No method blocks: `poll` advances the state.

    The process starts once Ray has found a machine and all needed addresses are known. If one of
    these addresses changes, the process is killed, so that the supervisor restarts it.

    waiting: see `Process`.
    wants_place: True until Ray has found a machine.
    waiting_since: time of the request to Ray, by `time.monotonic`.
    wants_stop: True once the node has requested the stop of the program.
    fate: see `Process`.
    """

    def __init__(
        self,
        node: RayNode,
        addresses: dict[str, str],
        cluster: RayClusterConfig,
        environment: Mapping[str, str],
        log_path: Path,
    ):
        """Requests a machine from Ray.

        Args:
          node: node to run.
          addresses: addresses of all nodes by name; this process updates those of its node.
          cluster: configuration with the range of ports.
          environment: environment variables of the process.
          log_path: file of the output.
        """
        self._node = node
        self._addresses = addresses
        self._environment = environment
        self._log_path = log_path
        self._code: int | None = None
        self._placed = False
        self._given: dict[str, str] | None = None
        self._messages = b""
        self._next_status = time.monotonic()
        self.wants_stop = False
        self.fate = ""
        self.waiting_since = self._next_status
        # Peers that start now wait for the new addresses; running ones continue if these are equal.
        for name in node.remote.own_addresses:
            addresses.pop(name, None)
        self._host = _make_host(node)
        self._answer: Any = self._host.place.remote(
            node.place,
            len(node.remote.own_addresses),
            cluster.first_port,
            cluster.last_port,
        )

    @property
    def waiting(self) -> bool:
        """See `Process`."""
        return self._code is None and self._given is None

    @property
    def wants_place(self) -> bool:
        """See the class."""
        return self._code is None and not self._placed

    def poll(self) -> int | None:
        """See `Process`."""
        if self._code is None:
            try:
                self._advance()
            except RayError as error:
                self._end(-signal.SIGKILL, self._describe(error))
        return self._code

    def read_messages(self) -> bytes:
        """See `Process`."""
        messages, self._messages = self._messages, b""
        return messages

    def send_signal(self, number: int) -> None:
        """See `Process`."""
        if self._code is not None:
            return
        if self.waiting or number == signal.SIGKILL:
            # The machine may be unreachable: Ray kills the actor, and with it the process.
            self._end(-number, describe_exit(-number))
        else:
            self._host.send_signal.remote(number)

    def close(self) -> None:
        """See `Process`."""
        self.send_signal(signal.SIGKILL)

    def _advance(self) -> None:
        if not self._placed:
            if ray.wait([self._answer], timeout=0)[0]:
                self._take(ray.get(self._answer))
        elif self._given is None:
            self._start()
        elif moved := self._needed().items() - self._given.items():
            title = min(moved)[0].rpartition("/")[0]
            self._end(-signal.SIGKILL, f"needs the new address of {title}")
        elif time.monotonic() >= self._next_status and ray.wait([self._answer], timeout=0)[0]:
            self._update(ray.get(self._answer))

    def _take(self, place: Place) -> None:
        self._placed, self._node.place = True, place
        self._addresses |= {
            name: f"{place.host}:{port}"
            for name, port in zip(self._node.remote.own_addresses, place.ports, strict=True)
        }
        self._start()

    def _start(self) -> None:
        """Starts the process if all needed addresses are known."""
        needed = self._needed()
        remote = self._node.remote
        if len(needed) < len(remote.needed_addresses):
            return
        self._given = needed
        job = Job(
            entry=remote.entry,
            data=remote.data,
            arguments=remote.arguments,
            environment={**self._environment, **to_environment(needed)},
            threads=self._node.threads,
            cpu_only=not self._node.resources.has_accelerator,
            log_path=self._log_path,
            working_directory=os.getcwd(),
            import_folder=self._node.import_folder,
        )
        self._answer = self._host.start.remote(job)

    def _needed(self) -> dict[str, str]:
        known = self._addresses
        return {name: known[name] for name in self._node.remote.needed_addresses if name in known}

    def _update(self, status: tuple[int | None, bytes]) -> None:
        code, messages = status
        self._messages += messages
        self.wants_stop |= supervised.STOP in messages
        if code is not None:
            return self._end(code, describe_exit(code))
        self._answer = self._host.status.remote()
        self._next_status = time.monotonic() + _STATUS_SECONDS

    def _describe(self, error: RayError) -> str:
        where = f" on {self._node.place.host}" if self._node.place else ""
        if isinstance(error, RayTaskError):
            return f"could not be run{where}: {type(error.cause).__name__}: {error.cause}"
        text = " ".join(str(error).split())
        if isinstance(error, ActorUnavailableError):
            return f"cannot be reached{where}"
        if "node has died" in text:
            return f"has lost its machine{where}"
        return f"has lost its Ray actor{where}: {text.rpartition('exit detail: ')[2][:200]}"

    def _end(self, code: int, fate: str) -> None:
        self._code, self.fate = code, fate
        with contextlib.suppress(RayError, ValueError):  # the actor is dead
            ray.kill(self._host)


def _make_host(node: RayNode) -> Any:
    if node.place is not None and node.remote.own_addresses:
        # On another machine its address would change, and its peers would have to be restarted.
        strategy: Any = NodeAffinitySchedulingStrategy(node.place.machine, soft=True)
    else:
        strategy = "SPREAD" if node.remote.group in _SPREAD else "DEFAULT"
    options = {**node.resources.options(), "scheduling_strategy": strategy, "max_restarts": 0}
    return ray.remote(Host).options(**options).remote()
