"""The Launchpad layout: the graph, its nodes, and how a program starts and ends."""

from mukoe.layouts.distributed.graph import check, make_program, place_inference
from mukoe.layouts.distributed.launcher import allow_connections, launch, leave

__all__ = [
    "allow_connections",
    "check",
    "launch",
    "leave",
    "make_program",
    "place_inference",
]
