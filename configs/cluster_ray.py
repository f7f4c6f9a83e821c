"""What each group of the program gets of a Ray cluster; the machines are in `cluster/`.

The learner and the inference server have a GPU each, actors a CPU core each. `learner`, `replay`
and `actor` are custom resources of the machines: a node runs on no other.
"""

from mukoe.layouts.distributed.ray_cluster import GroupResources, RayClusterConfig


def get_config() -> RayClusterConfig:
    return RayClusterConfig(
        replay=GroupResources(cpus=4, memory_gib=32, custom={"replay": 1}),
        counter=GroupResources(cpus=1, custom={"replay": 0.01}),
        learner=GroupResources(cpus=6, gpus=1, memory_gib=16, custom={"learner": 1}),
        inference=GroupResources(cpus=2, gpus=1, custom={"learner": 0.01}),
        actor=GroupResources(cpus=1, memory_gib=1.5, custom={"actor": 1}),
        evaluator=GroupResources(cpus=1, memory_gib=1.5, custom={"actor": 1}),
    )
