"""Vertex AI with CPUs only: one machine type for all nodes."""

from mukoe.layouts.distributed.vertex.cluster import Machine, VertexClusterConfig


def get_config() -> VertexClusterConfig:
    """Returns a config of two worker pools: the node that ends last, and all other nodes."""
    machine = Machine(cpus=8, memory_gib=30.0)
    return VertexClusterConfig(
        replay=machine,
        counter=machine,
        learner=machine,
        inference=machine,
        actor=machine,
        evaluator=machine,
    )
