"""What each group of the program gets of a Ray cluster; the machines are in `cluster/`.

`serving` and `actor` are resources of the cluster's own: replay and counter run where the first
is offered, actors and evaluator where the second is. GPUs say where the learner and the inference
server run; with TPUs: --cluster.learner.gpus=0 --cluster.learner.tpus=4, and the same for
inference.
"""

from mukoe.layouts.distributed.ray.cluster import GroupResources, RayClusterConfig


def get_config() -> RayClusterConfig:
    return RayClusterConfig(
        replay=GroupResources(cpus=4, memory_gib=32, custom={"serving": 1}),
        counter=GroupResources(cpus=1, custom={"serving": 1}),
        learner=GroupResources(cpus=6, gpus=1, memory_gib=16),
        inference=GroupResources(cpus=4, gpus=1, memory_gib=8),
        actor=GroupResources(cpus=1, memory_gib=1.5, custom={"actor": 1}),
        evaluator=GroupResources(cpus=1, memory_gib=1.5, custom={"actor": 1}),
    )
