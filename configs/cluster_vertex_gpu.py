"""Vertex AI with GPUs for learner and inference servers, and CPU machines for actors."""

from mukoe.layouts.distributed.vertex.cluster import Machine, VertexClusterConfig


def get_config() -> VertexClusterConfig:
    """Returns a config of four worker pools: learner, inference, replay, and all other nodes."""
    small = Machine(cpus=4, memory_gib=15.0)
    return VertexClusterConfig(
        # The memory limits the capacity of the replay.
        replay=Machine(cpus=8, memory_gib=52.0),
        counter=small,
        learner=Machine(cpus=12, memory_gib=85.0, accelerator="a100", accelerator_count=1),
        inference=Machine(cpus=8, memory_gib=30.0, accelerator="t4", accelerator_count=1),
        actor=small,
        evaluator=small,
    )
