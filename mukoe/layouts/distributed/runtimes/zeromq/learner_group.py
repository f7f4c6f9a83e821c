"""Learners of several hosts as the processes of one `jax.distributed` program.

The first learner starts JAX's coordinator at a free port, and serves its address to the others at
its endpoint. JAX's own connections have no secret: the machines of the learners need a network of
their own.
"""

import contextlib
import socket
from collections.abc import Callable
from concurrent import futures
from typing import Any

import jax

from mukoe.errors import UserError
from mukoe.layouts.distributed.nodes.retry import call_until_available
from mukoe.layouts.distributed.nodes.runtime import Runtime
from mukoe.layouts.distributed.runtimes.zeromq.client import Client
from mukoe.layouts.distributed.runtimes.zeromq.endpoints import Endpoint
from mukoe.layouts.distributed.runtimes.zeromq.server import Server
from mukoe.layouts.distributed.supervision.node import label_of

_CALL_TIMEOUT_SECONDS = 60.0
# Clients of a learner that is being made receive a TimeoutError after this time, and call again.
_CREATION_SECONDS = 5.0
# A learner without a heartbeat for this long ends the others.
_SILENCE_SECONDS = 20
_SHUTDOWN_SECONDS = 30
_LOOPBACK = "127.0.0.1"


def check_jax() -> None:
    """Checks that this version of JAX has the options that learners of several processes need.

    Raises:
      UserError: it has not.
    """
    if not hasattr(jax.config, "jax_enable_preemption_service"):
        raise UserError(
            f"--num_learners needs a newer JAX than {jax.__version__}: run it on Python 3.12 "
            "(make setup-current), or leave it out"
        )


class LearnerGroup:
    """Membership of a learner in the group of all learners of a program."""

    def __init__(self, first: Endpoint, title: str, size: int, runtime: Runtime):
        """Stores the arguments; `run` connects the process.

        Args:
          first: endpoint of the first learner.
          title: title of this learner, such as `learner/1`.
          size: number of learners.
          runtime: services of the node.
        """
        self._first = first
        self._label = label_of(title)
        self._index = int(title.partition("/")[2])
        self._size = size
        self._runtime = runtime
        scheme, _, place = first.address.partition("://")
        host = place.rpartition(":")[0]
        self._host = _LOOPBACK if scheme == "ipc" or host == "localhost" else host

    def run(self, make_node: Callable[[], Any]) -> None:
        """Waits for the other learners, makes the node and runs it until the program stops."""
        if self._index:
            address = self._find_coordinator()
            if address is not None:
                self._connect(address)
                make_node().run()
                jax.distributed.shutdown()
            return
        address = f"{self._host}:{_free_port()}"
        made: futures.Future[Any] = futures.Future()
        server = Server(
            self._first,
            {"coordinator": lambda: address},
            {"get_variables": lambda names: made.result(_CREATION_SECONDS).get_variables(names)},
        )
        with contextlib.closing(server):
            self._connect(address)
            made.set_result(make_node())
            made.result().run()
            jax.distributed.shutdown()

    def _find_coordinator(self) -> str | None:
        """Returns the coordinator's address; None if the program stops first."""
        addresses: list[str] = []
        with (
            self._runtime.reporting_failures(self._label),
            contextlib.closing(Client(self._first, _CALL_TIMEOUT_SECONDS)) as client,
        ):
            call_until_available(
                lambda: addresses.append(client.coordinator()),
                self._runtime,
                self._runtime.stop_event,
            )
        return addresses[0] if addresses else None

    def _connect(self, address: str) -> None:
        """Connects the processes of all learners; returns in all of them at the same time."""
        is_private = self._index == 0 and self._host == _LOOPBACK
        # JAX's preemption service would take SIGTERM, which sets the stop event of a node.
        jax.config.update("jax_enable_preemption_service", False)
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        options: dict[str, Any] = {
            "coordinator_bind_address": address if is_private else None,
            "heartbeat_timeout_seconds": _SILENCE_SECONDS,
            "shutdown_timeout_seconds": _SHUTDOWN_SECONDS,
        }
        with self._runtime.reporting_failures(self._label):
            jax.distributed.initialize(address, self._size, self._index, **options)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("", 0))
        return free.getsockname()[1]
