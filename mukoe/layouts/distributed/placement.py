"""Placement of the policy, and of actors on inference servers."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, TypeVar

from mukoe.layouts.common.experiment import DistributedConfig, ExperimentConfig

T = TypeVar("T")

InferencePlacement = Literal["local", "server", "split"]


def inference_placement(distributed: DistributedConfig, accelerated: bool) -> InferencePlacement:
    """Returns the place where the actors' policy runs.

    Args:
      distributed: settings of the layout.
      accelerated: True if inference servers have an accelerator; decides `inference=auto`.
    """
    if distributed.inference == "auto":
        return "server" if accelerated else "local"
    return distributed.inference


def place_inference(experiment: ExperimentConfig, accelerated: bool) -> ExperimentConfig:
    """Replaces `distributed.inference=auto` by the placement for the machines of a cluster."""
    inference = inference_placement(experiment.distributed, accelerated)
    distributed = dataclasses.replace(experiment.distributed, inference=inference)
    return dataclasses.replace(experiment, distributed=distributed)


def servers_of(actor: int, servers: Sequence[T]) -> list[T]:
    """Returns the servers of an actor in order of preference.

    Actors are spread over all servers; the actors of a server that dies are spread over the rest.

    Args:
      actor: index of the actor.
      servers: all servers.
    """
    if not servers:
        return []
    first, rotation = actor % len(servers), actor // len(servers)
    others = [*servers[first + 1 :], *servers[:first]]
    start = rotation % max(len(others), 1)
    return [servers[first], *others[start:], *others[:start]]


def group_sizes(experiment: ExperimentConfig) -> dict[str, int]:
    """Returns the number of nodes of each group; `inference=auto` must be decided before."""
    distributed = experiment.distributed
    sizes = {"replay": distributed.num_replays, "counter": 1, "evaluator": 1}
    sizes["learner"] = distributed.num_learners
    sizes["actor"] = distributed.num_actors
    if distributed.inference != "local":
        sizes["inference"] = distributed.num_inference_servers
    if distributed.num_reanalysers:
        sizes["reanalyser"] = distributed.num_reanalysers
    return sizes
