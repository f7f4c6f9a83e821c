"""Connection to a Ray cluster, and the check of its machines."""

import contextlib
import logging
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mukoe.errors import UserError
from mukoe.layouts.distributed.ray import host as ray_host

_CONNECT_SECONDS = 10.0
_LOOK_SECONDS = 180.0


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
    except Exception as error:  # A start that times out raises the base class.
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise UserError(
            f"cannot use the Ray cluster at {address}: {reason}. Start one by `ray start --head`, "
            "or give --ray_address=HOST:PORT of its head"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def machines() -> list[dict[str, Any]]:
    """Returns the machines of the cluster, as Ray describes them."""
    return [machine for machine in ray.nodes() if machine["Alive"]]


def machine_name(machine: dict[str, Any]) -> str:
    """Returns a name to show; several Ray nodes may run on one machine."""
    return f"{machine['NodeManagerAddress']} (Ray node {machine['NodeID'][:6]})"


def check_workdir(workdir: Path, machines: list[dict[str, Any]]) -> None:
    """Checks that machines have the workdir and mukoe; raises a UserError otherwise."""
    token = workdir / f".shared-{uuid.uuid4().hex}"
    token.touch()
    try:
        looks = {
            machine_name(machine): ray.remote(ray_host.sees)
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
