"""The process of a node on a machine of a Ray cluster, as a supervisor of this machine sees it."""

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

from mukoe.layouts.distributed.ray.addresses import to_environment
from mukoe.layouts.distributed.ray.cluster import GroupResources, RayClusterConfig
from mukoe.layouts.distributed.ray.host import Host, Job, Place
from mukoe.layouts.distributed.supervision import supervised
from mukoe.layouts.distributed.supervision.process import describe_exit

_STATUS_SECONDS = 1.0
# Nodes of these groups are spread over the machines.
_SPREAD = ("actor", "inference")


@dataclasses.dataclass
class RayNode:
    """A node of the program.

    title: of the node, such as `actor/0`.
    functions: the node, pickled as Launchpad's process entry wants it.
    own_addresses: names of the addresses at which it serves.
    needed_addresses: names of all that it has to know, its own included.
    resources: that it reserves.
    threads: that XLA may use on the CPU; 0 for all.
    place: where its newest process is or was.
    """

    title: str
    functions: bytes
    own_addresses: list[str]
    needed_addresses: list[str]
    resources: GroupResources
    threads: int
    place: Place | None = None


class RayProcess:
    """A `Process` in an actor of Ray. It is never waited for: `poll` looks how far things are.

    It waits until Ray has found a machine, and until all addresses that it needs are known; then
    it starts. Where one of these addresses changes, it ends, so that it is started again.

    waiting: see `Process`.
    wants_place: Ray has not found a machine yet.
    waiting_since: on the monotonic clock, when Ray was asked for one.
    wants_stop: the node has asked for the end of the program.
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
        """Asks Ray for a machine.

        Args:
          node: that it runs.
          addresses: by their names, of all nodes; changed here for those of this one.
          cluster: ports that may be taken.
          environment: variables for the process.
          log_path: gets what it prints.
        """
        self._node = node
        self._addresses = addresses
        self._environment = environment
        self._log_path = log_path
        self._code: int | None = None
        self._placed = False
        self._told: dict[str, str] | None = None
        self._heard = b""
        self._next_look = time.monotonic()
        self.wants_stop = False
        self.fate = ""
        self.waiting_since = self._next_look
        # Whoever starts now waits for the new ones; whoever runs goes on if they are the same.
        for name in node.own_addresses:
            addresses.pop(name, None)
        self._host = _make_host(node)
        self._answer: Any = self._host.place.remote(
            node.place,
            len(node.own_addresses),
            cluster.first_port,
            cluster.last_port,
        )

    @property
    def waiting(self) -> bool:
        """See `Process`."""
        return self._code is None and self._told is None

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

    def hear(self) -> bytes:
        """See `Process`."""
        heard, self._heard = self._heard, b""
        return heard

    def send_signal(self, number: int) -> None:
        """See `Process`."""
        if self._code is not None:
            return
        if self.waiting or number == signal.SIGKILL:
            # It may be out of reach: Ray ends the actor, and with it the process.
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
        elif self._told is None:
            self._start()
        elif moved := self._needed().items() - self._told.items():
            title = min(moved)[0].rpartition("/")[0]
            self._end(-signal.SIGKILL, f"has to learn where {title} is now")
        elif time.monotonic() >= self._next_look and ray.wait([self._answer], timeout=0)[0]:
            self._look(ray.get(self._answer))

    def _take(self, place: Place) -> None:
        self._placed, self._node.place = True, place
        self._addresses |= {
            name: f"{place.host}:{port}"
            for name, port in zip(self._node.own_addresses, place.ports, strict=True)
        }
        self._start()

    def _start(self) -> None:
        """Starts the process, unless an address is not known yet."""
        needed = self._needed()
        if len(needed) < len(self._node.needed_addresses):
            return
        self._told = needed
        job = Job(
            functions=self._node.functions,
            environment={**self._environment, **to_environment(needed)},
            threads=self._node.threads,
            cpu_only=not self._node.resources.has_accelerator,
            log_path=self._log_path,
            working_directory=os.getcwd(),
        )
        self._answer = self._host.start.remote(job)

    def _needed(self) -> dict[str, str]:
        known = self._addresses
        return {name: known[name] for name in self._node.needed_addresses if name in known}

    def _look(self, status: tuple[int | None, bytes]) -> None:
        code, heard = status
        self._heard += heard
        self.wants_stop |= supervised.STOP in heard
        if code is not None:
            return self._end(code, describe_exit(code))
        self._answer = self._host.status.remote()
        self._next_look = time.monotonic() + _STATUS_SECONDS

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
        with contextlib.suppress(RayError, ValueError):  # it is dead already
            ray.kill(self._host)


def _make_host(node: RayNode) -> Any:
    if node.place is not None and node.own_addresses:
        # Elsewhere it had another address, and all that know it had to be started again.
        strategy: Any = NodeAffinitySchedulingStrategy(node.place.machine, soft=True)
    else:
        strategy = "SPREAD" if node.title.partition("/")[0] in _SPREAD else "DEFAULT"
    options = {**node.resources.options(), "scheduling_strategy": strategy, "max_restarts": 0}
    return ray.remote(Host).options(**options).remote()
