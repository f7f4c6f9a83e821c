"""Resources of each group of the program, and their check against a Ray cluster."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from msgspec import Meta

from mukoe.configuration.bounds import NonNegativeFloat, NonNegativeInt, Seconds
from mukoe.configuration.fields import Validated
from mukoe.errors import UserError
from mukoe.layouts.distributed.graph import MachineMemory

_OF_RAY = ("CPU", "GPU", "TPU", "memory")


@dataclasses.dataclass(frozen=True)
class GroupResources(Validated):
    """Resources that each node of a group reserves."""

    # CPU cores.
    cpus: NonNegativeFloat = 1.0
    # GPUs.
    gpus: NonNegativeInt = 0
    # TPU chips.
    tpus: NonNegativeInt = 0
    # GiB of memory; 0 for no reservation.
    memory_gib: NonNegativeFloat = 0.0
    # Custom resources of the cluster, such as {"learner": 1}: the node runs on a machine that
    # offers them.
    custom: Mapping[str, NonNegativeFloat] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if wrong := [name for name in self.custom if name in _OF_RAY]:
            raise UserError(
                f"{wrong[0]!r} is not a custom resource of a cluster: give cpus, gpus, tpus or "
                "memory_gib"
            )

    @property
    def amounts(self) -> dict[str, float]:
        """Amounts by Ray's names of resources; memory in bytes."""
        amounts = {
            "CPU": self.cpus,
            "GPU": self.gpus,
            "TPU": self.tpus,
            "memory": self.memory_bytes or 0,
            **self.custom,
        }
        return {name: amount for name, amount in amounts.items() if amount}

    @property
    def memory_bytes(self) -> int | None:
        """Reserved memory in bytes; None for no reservation."""
        return int(self.memory_gib * 2**30) or None

    @property
    def has_accelerator(self) -> bool:
        """True if JAX finds a GPU or a TPU."""
        return bool(self.gpus or self.tpus)

    def options(self) -> dict[str, Any]:
        """Returns the options of a Ray actor with these resources."""
        others = {n: a for n, a in self.amounts.items() if n not in ("CPU", "GPU", "memory")}
        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "resources": others}
        return options | ({"memory": self.memory_bytes} if self.memory_bytes else {})


@dataclasses.dataclass(frozen=True)
class RayClusterConfig(Validated):
    """Resources of the groups, and ports, as in `configs/cluster_ray.py`."""

    # The Reverb server.
    replay: GroupResources = GroupResources()
    # The counter.
    counter: GroupResources = GroupResources()
    # The learner.
    learner: GroupResources = GroupResources()
    # Each inference server.
    inference: GroupResources = GroupResources()
    # Each actor node.
    actor: GroupResources = GroupResources()
    # Each reanalyser, if there are any.
    reanalyser: GroupResources = GroupResources()
    # The evaluator.
    evaluator: GroupResources = GroupResources()
    # Lowest port of the nodes.
    first_port: Annotated[int, Meta(ge=1024, le=65535)] = 20000
    # Highest port of the nodes.
    last_port: Annotated[int, Meta(ge=1024, le=65535)] = 29999
    # Longest wait of a node for a machine with its resources, in seconds; then the program fails.
    placement_seconds: Seconds = 600.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.first_port > self.last_port:
            raise UserError(
                f"first_port must not be above last_port, {self.last_port}, unlike "
                f"{self.first_port}"
            )

    def of(self, group: str) -> GroupResources:
        """Returns the resources of a group of the program."""
        return getattr(self, group)

    def memory_of(self, group: str) -> int | MachineMemory:
        """Returns the memory that a node of a group may use: its reservation in bytes.

        Without a reservation any machine may run the node, so that its memory is unknown. Replay
        is checked against this machine's memory, since it grows while the program runs.
        """
        without = MachineMemory.THIS_MACHINE if group == "replay" else MachineMemory.UNKNOWN
        return self.of(group).memory_bytes or without


def check_resources(
    cluster: RayClusterConfig,
    group_sizes: Mapping[str, int],
    machines: Mapping[str, Mapping[str, float]],
) -> None:
    """Checks that the machines of a cluster have the resources of a program.

    Args:
      cluster: resources of each node of a group.
      group_sizes: number of nodes by group.
      machines: resources by name of machine, with Ray's names of resources.

    Raises:
      UserError: a node fits no machine, or all nodes need more than the cluster has.
    """
    total: dict[str, float] = collections.defaultdict(float)
    for group, size in group_sizes.items():
        asked = cluster.of(group).amounts
        for name, amount in asked.items():
            total[name] += size * amount
        if not machines_for(asked, machines):
            raise UserError(
                f"no machine of the Ray cluster has {describe_amounts(asked)}, which a node of "
                f"the group {group} requires; there are {_describe(machines.values())}"
            )
    for name, amount in total.items():
        offered = sum(has.get(name, 0) for has in machines.values())
        if amount > offered:
            raise UserError(
                f"the program requires {_amount(name, amount)}, and the Ray cluster has "
                f"{_amount(name, offered)}: fewer actors, a larger cluster, or less for each "
                "group in --cluster"
            )


def machines_for(
    asked: Mapping[str, float], machines: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """Returns the names of the machines that have the requested resources."""
    return [
        machine
        for machine, has in machines.items()
        if all(has.get(name, 0) >= amount for name, amount in asked.items())
    ]


def _describe(machines: Iterable[Mapping[str, float]]) -> str:
    counts = collections.Counter(
        describe_amounts({n: a for n, a in has.items() if _is_shown(n)}) for has in machines
    )
    return "; ".join(f"{count} with {amounts}" for amounts, count in counts.items())


def _is_shown(name: str) -> bool:
    """Returns whether a resource is shown to the user; Ray adds internal ones."""
    return ":" not in name and name != "object_store_memory"


def describe_amounts(amounts: Mapping[str, float]) -> str:
    """Returns amounts of resources as text, such as `2 CPU, 1 GPU`."""
    return ", ".join(_amount(name, amount) for name, amount in amounts.items()) or "nothing"


def _amount(name: str, amount: float) -> str:
    return f"{amount / 2**30:.1f} GiB of memory" if name == "memory" else f"{amount:g} {name}"
