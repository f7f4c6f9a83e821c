"""What each group of the program gets of a Ray cluster, and whether the cluster has it."""

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
    """What each node of a group reserves."""

    # CPU cores.
    cpus: NonNegativeFloat = 1.0
    # GPUs.
    gpus: NonNegativeInt = 0
    # TPU chips.
    tpus: NonNegativeInt = 0
    # GiB of memory; 0 for no reservation.
    memory_gib: NonNegativeFloat = 0.0
    # Resources of the cluster's own, such as {"learner": 1}: the node runs on a machine that
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
        """By the names that Ray has for resources; memory in bytes."""
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
        """What is reserved of the memory; None for no reservation."""
        return int(self.memory_gib * 2**30) or None

    @property
    def has_accelerator(self) -> bool:
        """Whether JAX finds something else than the CPU."""
        return bool(self.gpus or self.tpus)

    def options(self) -> dict[str, Any]:
        """The same for the options of a Ray actor."""
        others = {n: a for n, a in self.amounts.items() if n not in ("CPU", "GPU", "memory")}
        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "resources": others}
        return options | ({"memory": self.memory_bytes} if self.memory_bytes else {})


@dataclasses.dataclass(frozen=True)
class RayClusterConfig(Validated):
    """What a file such as `configs/cluster_ray.py` gives: the groups' resources and the network."""

    # The Reverb server.
    replay: GroupResources = GroupResources()
    # Counts, and ends the program.
    counter: GroupResources = GroupResources()
    # The learner.
    learner: GroupResources = GroupResources()
    # Each inference server.
    inference: GroupResources = GroupResources()
    # Each actor node.
    actor: GroupResources = GroupResources()
    # The evaluator.
    evaluator: GroupResources = GroupResources()
    # Lowest port at which a node may listen.
    first_port: Annotated[int, Meta(ge=1024, le=65535)] = 20000
    # Highest port at which a node may listen.
    last_port: Annotated[int, Meta(ge=1024, le=65535)] = 29999
    # Seconds for which a node waits for a machine with what it asks for; then the program ends.
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
    """Raises a `UserError` where the machines can not have the program.

    Args:
      cluster: what each node of a group asks for.
      group_sizes: how many nodes each group has.
      machines: by a name for each, what it has, as Ray names it.
    """
    total: dict[str, float] = collections.defaultdict(float)
    for group, size in group_sizes.items():
        asked = cluster.of(group).amounts
        for name, amount in asked.items():
            total[name] += size * amount
        if not machines_for(asked, machines):
            raise UserError(
                f"no machine of the Ray cluster has {describe_amounts(asked)}, which a node of "
                f"the group {group} asks for; there are {_describe(machines.values())}"
            )
    for name, amount in total.items():
        offered = sum(has.get(name, 0) for has in machines.values())
        if amount > offered:
            raise UserError(
                f"the program asks for {_amount(name, amount)}, and the Ray cluster has "
                f"{_amount(name, offered)}: fewer actors, a larger cluster, or less for each "
                "group in --cluster"
            )


def machines_for(
    asked: Mapping[str, float], machines: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """The names of the machines that have what is asked for."""
    return [
        machine
        for machine, has in machines.items()
        if all(has.get(name, 0) >= amount for name, amount in asked.items())
    ]


def _describe(machines: Iterable[Mapping[str, float]]) -> str:
    counts = collections.Counter(
        describe_amounts({n: a for n, a in has.items() if _is_told(n)}) for has in machines
    )
    return "; ".join(f"{count} with {amounts}" for amounts, count in counts.items())


def _is_told(name: str) -> bool:
    """Whether a resource is one that a person has heard of: Ray adds some for its own use."""
    return ":" not in name and name != "object_store_memory"


def describe_amounts(amounts: Mapping[str, float]) -> str:
    """Returns amounts of resources for people, such as `2 CPU, 1 GPU`."""
    return ", ".join(_amount(name, amount) for name, amount in amounts.items()) or "nothing"


def _amount(name: str, amount: float) -> str:
    return f"{amount / 2**30:.1f} GiB of memory" if name == "memory" else f"{amount:g} {name}"
