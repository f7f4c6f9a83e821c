"""Vertex AI with CPUs alone: one kind of machine for all nodes."""

from mukoe.layouts.distributed.vertex.cluster import Machine, VertexClusterConfig


def get_config() -> VertexClusterConfig:
    """Two pools: the node that ends last, and all others."""
    machine = Machine(cpus=8, memory_gib=30.0)
    return VertexClusterConfig(
        replay=machine,
        counter=machine,
        learner=machine,
        inference=machine,
        actor=machine,
        evaluator=machine,
    )
