"""Vertex AI with GPUs for learning and for inference, and a pool of CPU machines that act."""

from mukoe.layouts.distributed.vertex.cluster import Machine, VertexClusterConfig


def get_config() -> VertexClusterConfig:
    """Four pools: the learner, the inference servers, replay, and what only steps environments."""
    small = Machine(cpus=4, memory_gib=15.0)
    return VertexClusterConfig(
        # Its memory bounds the replay.
        replay=Machine(cpus=8, memory_gib=52.0),
        counter=small,
        learner=Machine(cpus=12, memory_gib=85.0, accelerator="a100", accelerator_count=1),
        inference=Machine(cpus=8, memory_gib=30.0, accelerator="t4", accelerator_count=1),
        actor=small,
        evaluator=small,
    )
