"""Little of each machine; `replay` and `actor` say on which machine a node comes to be."""

from mukoe.layouts.distributed.ray.cluster import GroupResources, RayClusterConfig

_SMALL = GroupResources(cpus=0.1)


def get_config():
    return RayClusterConfig(
        replay=GroupResources(cpus=0.1, custom={"replay": 1}),
        counter=_SMALL,
        learner=_SMALL,
        inference=_SMALL,
        actor=GroupResources(cpus=0.1, custom={"actor": 1}),
        evaluator=_SMALL,
    )
