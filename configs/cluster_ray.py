"""Resources of each group on a Ray cluster whose machines are described in `cluster/`.

`serving` and `actor` are custom resources of the cluster: replay and counter are placed on machines
with the first, actors and evaluator on machines with the second. Learner and inference servers are
placed by their GPUs; with TPUs: --cluster.learner.gpus=0 --cluster.learner.tpus=4, and the same for
inference.
"""

from mukoe.layouts.distributed.ray.cluster import GroupResources, RayClusterConfig


def get_config() -> RayClusterConfig:
    """Returns the resources of each node, by group."""
    return RayClusterConfig(
        replay=GroupResources(cpus=4, memory_gib=32, custom={"serving": 1}),
        counter=GroupResources(cpus=1, custom={"serving": 1}),
        learner=GroupResources(cpus=6, gpus=1, memory_gib=16),
        inference=GroupResources(cpus=4, gpus=1, memory_gib=8),
        actor=GroupResources(cpus=1, memory_gib=1.5, custom={"actor": 1}),
        evaluator=GroupResources(cpus=1, memory_gib=1.5, custom={"actor": 1}),
    )
