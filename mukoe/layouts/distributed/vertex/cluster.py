"""Machines of each group of the program, as Vertex AI and XManager describe them."""

import collections
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import launchpad as lp
from msgspec import Meta
from xmanager import xm

from mukoe.configuration.fields import Validated
from mukoe.errors import UserError

_MOST_POOLS = 4
# Resources of the largest N1 machine, n1-highmem-96.
_MOST_OF_N1 = {"cpus": 96, "memory_gib": 624}
# Maximum vCPUs of a machine by accelerator and number of accelerators. The names are those that
# XManager 0.7 and Vertex AI have in common.
_MOST_CPUS = {
    "p4": {1: 24, 2: 48, 4: 96},
    "t4": {1: 48, 2: 48, 4: 96},
    "p100": {1: 16, 2: 32, 4: 64},
    "v100": {1: 12, 2: 24, 4: 48, 8: 96},
    "a100": {1: 12, 2: 24, 4: 48, 8: 96, 16: 96},
    "tpu_v2": {8: 96},
    "tpu_v3": {8: 96},
}


@dataclasses.dataclass(frozen=True)
class Machine(Validated):
    """The machine of each node of a group."""

    # vCPUs at least; XManager takes the smallest N1 machine that has them.
    cpus: Annotated[int, Meta(ge=1, le=_MOST_OF_N1["cpus"])] = 4
    # GiB of memory at least.
    memory_gib: Annotated[float, Meta(gt=0, le=_MOST_OF_N1["memory_gib"])] = 15.0
    # One of 'p4', 't4', 'p100', 'v100', 'a100', 'tpu_v2', 'tpu_v3'; None for none.
    accelerator: str | None = None
    # GPUs, or TPU cores, of the machine.
    accelerator_count: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.accelerator is None:
            if self.accelerator_count:
                raise UserError("a machine without an accelerator has accelerator_count 0")
            return
        if self.accelerator not in _MOST_CPUS:
            raise UserError(
                f"unknown accelerator {self.accelerator!r}: XManager 0.7 supports "
                f"{', '.join(_MOST_CPUS)} on Vertex AI"
            )
        counts = _MOST_CPUS[self.accelerator]
        if self.accelerator_count not in counts:
            raise UserError(
                f"a machine has {', '.join(map(str, counts))} of {self.accelerator}, "
                f"not {self.accelerator_count}"
            )
        if self.cpus > (most := counts[self.accelerator_count]):
            raise UserError(
                f"a machine with {self.accelerator_count} of {self.accelerator} has at most "
                f"{most} vCPUs, not {self.cpus}"
            )

    @property
    def platform(self) -> str:
        """Platform of its image: 'cpu', 'cuda12' or 'tpu'."""
        if self.accelerator is None:
            return "cpu"
        return "tpu" if self.accelerator.startswith("tpu") else "cuda12"

    def requirements(self) -> xm.JobRequirements:
        """Returns the resources for XManager."""
        amounts = {"cpu": self.cpus, "ram": self.memory_gib * xm.GiB}
        if self.accelerator:
            amounts[self.accelerator] = self.accelerator_count
        return xm.JobRequirements(amounts)


@dataclasses.dataclass(frozen=True)
class VertexClusterConfig:
    """A machine for each node of each group; groups with equal machines share a worker pool."""

    # Keeps the rows: its memory holds the whole replay.
    replay: Machine = Machine()
    # Counts and ends the program.
    counter: Machine = Machine()
    # Makes the updates.
    learner: Machine = Machine()
    # Each inference server, if there are any.
    inference: Machine = Machine()
    # Each actor.
    actor: Machine = Machine()
    # Each reanalyser, if there are any.
    reanalyser: Machine = Machine()
    # Plays the evaluation's episodes.
    evaluator: Machine = Machine()
    # Folders of Python packages that the nodes import, beside mukoe and the imported modules in the
    # folder of the config file.
    packages: tuple[str, ...] = ()


def xm_resources(
    cluster: VertexClusterConfig, groups: Iterable[str], code: Path, locks: Path
) -> dict[str, lp.DockerConfig]:
    """Maps the groups of a program to hardware, for `lp.launch`.

    Args:
      cluster: machines of the groups.
      groups: groups of the program.
      code: folder that becomes the content of each image.
      locks: folder of the `container-PLATFORM.txt` files.

    Raises:
      UserError: Vertex AI has too few worker pools for so many kinds of machines.
    """
    machines = {group: getattr(cluster, group) for group in groups}
    kinds = collections.defaultdict(list)
    for group, machine in machines.items():
        kinds[machine].append(group)
    if len(kinds) > _MOST_POOLS:
        listed = "; ".join(" and ".join(names) for names in kinds.values())
        raise UserError(
            f"Vertex AI has {_MOST_POOLS} worker pools, and the groups have {len(kinds)} kinds of "
            f"machines ({listed}): give some groups the same machine"
        )
    return {
        group: lp.DockerConfig(
            code_directory=str(code),
            docker_requirements=str(locks / f"container-{machine.platform}.txt"),
            hw_requirements=machine.requirements(),
        )
        for group, machine in machines.items()
    }
