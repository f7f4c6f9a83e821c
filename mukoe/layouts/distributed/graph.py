"""The program graph before a runtime connects it: checked experiment, inference and replay size."""

import dataclasses
import enum
from collections.abc import Callable

import jax
import numpy as np

from mukoe.agents.extensions import reanalyse_mode
from mukoe.errors import UserError
from mukoe.layouts.common.demonstrations import check_demonstrations, select_demonstrations
from mukoe.layouts.common.experiment import ExperimentConfig, check_experiment
from mukoe.layouts.common.offline_data import read_sources
from mukoe.layouts.common.offline_sources import parse_sources
from mukoe.layouts.common.reanalysis import check_reanalysis_in_program, dividing_flags
from mukoe.layouts.common.required_memory import RequiredMemory
from mukoe.layouts.distributed.placement import InferencePlacement, inference_placement
from mukoe.replay.served import divide_batches, shard_declaration
from mukoe.system import check_fits, has_accelerator
from mukoe.types import EnvironmentSpec, num_bytes

# Reverb compresses its chunks: frames of games to less than a quarter.
_PIXEL_COMPRESSION = 4
# Lower bounds of the size of a process or thread, and of a node's entry in the graph.
_BYTES_OF_LOCAL_NODE, _BYTES_OF_REMOTE_NODE = 8 << 20, 1 << 10


class MachineMemory(enum.Enum):
    """Memory of a node's machine that is not given in bytes."""

    THIS_MACHINE = enum.auto()
    UNKNOWN = enum.auto()


MemoryOfGroup = Callable[[str], int | MachineMemory]
"""`group -> bytes`: memory of the machine of a node of a group."""


@dataclasses.dataclass(frozen=True)
class ProgramGraph:
    """Checked experiment, with the decisions on which its program depends.

    experiment: agent, environment and settings.
    environment_spec: spec of one environment.
    inference: placement of the actors' policy.
    replay_bytes: size of a full replay.
    demonstrations: sources of the demonstrations, see `parse_sources`; None for none.
    """

    experiment: ExperimentConfig
    environment_spec: EnvironmentSpec
    inference: InferencePlacement
    replay_bytes: int
    demonstrations: str | None = None


def make_graph(
    experiment: ExperimentConfig,
    memory_of: MemoryOfGroup | None = None,
    demonstrations: str | None = None,
    in_process_replay: bool = False,
) -> ProgramGraph:
    """Checks an experiment and decides on its program; makes one environment and the networks.

    Args:
      experiment: agent, environment and settings.
      memory_of: memory of the machines of a group; None if all nodes run on this machine.
      demonstrations: sources of the demonstrations, which the replay node reads; None for none.
      in_process_replay: True if the replay node serves the in-process replay, which compresses
        nothing and whose rows can be rewritten; False for Reverb.

    Raises:
      UserError: the environment cannot be made, the agent does not fit it or the layout, memory
        does not suffice, or the placement does not suit the policy.
    """
    check_reanalysis_in_program(experiment, in_process_replay, demonstrations is not None)
    check_demonstrations(experiment, demonstrations is not None)
    spec = check_experiment(experiment)
    _check_replays(experiment)
    inference = inference_placement(experiment.distributed, has_accelerator())
    if experiment.distributed.reanalysis == "server" and inference == "local":
        raise UserError(
            "distributed.reanalysis=server needs inference servers: set --inference=server or "
            "--inference=split, or distributed.reanalysis=local"
        )
    replay_bytes = _check_memory(experiment, spec, inference, memory_of, not in_process_replay)
    _check_inference(experiment, spec, inference)
    if demonstrations is not None:
        if in_process_replay:
            _check_demonstrated_table(experiment)
        replay_bytes += _check_demonstrations(experiment, spec, demonstrations)
    return ProgramGraph(experiment, spec, inference, replay_bytes, demonstrations)


def _check_demonstrated_table(experiment: ExperimentConfig) -> None:
    """Checks that one replay node with all items of a batch has the table of demonstrations.

    Raises:
      UserError: batches are divided, or a part of them comes from reanalysers.
    """
    several = dividing_flags(experiment.distributed)
    if reanalyse_mode(experiment.builder) == "nodes":
        several.append("agent.reanalyse.mode=nodes")
    if several:
        raise UserError(
            "--demonstrations with --runtime=zeromq are for one replay node, one learner and no "
            f"reanalysers: leave {' and '.join(several)} out"
        )


def _check_demonstrations(experiment: ExperimentConfig, spec: EnvironmentSpec, text: str) -> int:
    """Checks the demonstrations of some sources; returns the bytes of their rows.

    Raises:
      UserError: a source cannot be read, does not suit the agent, or has a weight.
    """
    sources = parse_sources(text)
    if any(source.weight is not None for source in sources):
        raise UserError(
            f"--demonstrations={text}: weights of sources are for --layout=local; leave them out"
        )
    data = select_demonstrations(read_sources(sources, spec), experiment, spec)
    return sum(num_bytes(episode) for episode in data.episodes)


def _check_replays(experiment: ExperimentConfig) -> None:
    """Checks that replay nodes have environments, reanalysers and a part of the batches."""
    distributed, declaration = experiment.distributed, experiment.builder.replay
    parts = divide_batches(declaration, distributed.num_learners)
    shard_declaration(parts, distributed.num_replays)
    writers = {"environments": distributed.num_actors * experiment.run.envs_per_actor}
    if declaration.reanalysed_items:
        writers["reanalysers"] = distributed.num_reanalysers
    for name, count in writers.items():
        if distributed.num_replays > count:
            raise UserError(
                f"distributed.num_replays {distributed.num_replays} must not be above the {count} "
                f"{name}, each of which writes to one replay"
            )


def _check_inference(
    experiment: ExperimentConfig, spec: EnvironmentSpec, inference: InferencePlacement
) -> None:
    if inference == "local":
        return
    num_envs = experiment.run.envs_per_actor
    max_batch_size = experiment.distributed.server.max_batch_size
    if num_envs > max_batch_size:
        raise UserError(
            f"run.envs_per_actor {num_envs} must not be above distributed.server.max_batch_size "
            f"{max_batch_size}: the environments of an actor share a batch"
        )
    builder = experiment.builder
    if inference == "split" and (
        builder.make_policy(builder.make_networks(spec), spec).split is None
    ):
        raise UserError(
            "inference=split needs a policy in two parts, which "
            f"{type(builder).__name__} does not make; use server or local"
        )


def _check_memory(
    experiment: ExperimentConfig,
    spec: EnvironmentSpec,
    inference: InferencePlacement,
    memory_of: MemoryOfGroup | None,
    compresses_replay: bool,
) -> int:
    """Checks the memory of each group's machine; returns the bytes of a full replay."""
    distributed = experiment.distributed
    is_local = memory_of is None
    bytes_of_node = _BYTES_OF_LOCAL_NODE if is_local else _BYTES_OF_REMOTE_NODE
    nodes = distributed.num_actors + distributed.num_inference_servers
    nodes += distributed.num_reanalysers
    remedy = "lower distributed.num_actors, num_inference_servers or num_reanalysers"
    check_fits(nodes * bytes_of_node, f"a program of {nodes} nodes", remedy)
    memory = RequiredMemory(experiment, spec)
    replay_bytes = _replay_bytes(experiment, memory, spec, compresses_replay)

    def check(group: str, check_available: Callable[[int | None], None]) -> None:
        available = memory_of(group) if memory_of else MachineMemory.THIS_MACHINE
        if isinstance(available, int):
            check_available(available)
        elif available is MachineMemory.THIS_MACHINE:
            check_available(None)

    check("learner", memory.check_parameters)
    check("replay", lambda available: memory.check_replay(replay_bytes, available))
    if inference == "local":
        num_envs = experiment.run.envs_per_actor * (distributed.num_actors if is_local else 1)
        acting_remedy = "lower run.envs_per_actor, distributed.num_actors or the simulations"
        check("actor", lambda available: memory.check_acting(num_envs, acting_remedy, available))
    check("evaluator", memory.check_evaluation)
    batches = 1 + distributed.prefetch_size
    check("learner", lambda available: memory.check_batches(0, batches, available))
    return replay_bytes


def _replay_bytes(
    experiment: ExperimentConfig,
    memory: RequiredMemory,
    spec: EnvironmentSpec,
    compresses_replay: bool,
) -> int:
    """Returns the bytes of a full replay, after compression by the replay service."""
    required = memory.replay_bytes(
        experiment.distributed.num_actors * experiment.run.envs_per_actor
    )
    leaves = jax.tree.leaves(spec.observations)
    has_pixels = any(leaf.dtype == np.uint8 and leaf.shape for leaf in leaves)
    return required // _PIXEL_COMPRESSION if has_pixels and compresses_replay else required
