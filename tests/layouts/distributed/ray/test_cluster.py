"""Resources of groups and machines."""

import dataclasses
from pathlib import Path

import pytest

from mukoe.configuration import load_config_file
from mukoe.errors import UserError
from mukoe.layouts.common.experiment import DistributedConfig, ExperimentConfig
from mukoe.layouts.distributed.placement import group_sizes, place_inference
from mukoe.layouts.distributed.ray.cluster import (
    GroupResources,
    RayClusterConfig,
    check_resources,
    machines_for,
)
from tests.configuration.fuzzed import leaves, refusal

ROOT = Path(__file__).parents[4]

SIZES = {"replay": 1, "learner": 1, "actor": 4}
CLUSTER = RayClusterConfig(
    replay=GroupResources(cpus=2, memory_gib=4),
    learner=GroupResources(cpus=2, gpus=1),
    actor=GroupResources(cpus=1, custom={"actor": 1}),
)
MACHINES = {
    "10.0.0.1": {"CPU": 4, "GPU": 1, "memory": 8 * 2**30, "node:10.0.0.1": 1},
    "10.0.0.2": {"CPU": 4, "memory": 2**30, "actor": 4, "object_store_memory": 1},
}


def test_resources_are_those_of_ray():
    resources = GroupResources(cpus=2, gpus=1, tpus=4, memory_gib=0.5, custom={"learner": 1})
    assert resources.amounts == {"CPU": 2, "GPU": 1, "TPU": 4, "memory": 2**29, "learner": 1}
    assert resources.options() == {
        "num_cpus": 2,
        "num_gpus": 1,
        "memory": 2**29,
        "resources": {"TPU": 4, "learner": 1},
    }
    assert GroupResources(cpus=0.5).options() == {
        "num_cpus": 0.5,
        "num_gpus": 0,
        "resources": {},
    }


@pytest.mark.parametrize(
    "resources, accelerator",
    [({}, False), ({"gpus": 1}, True), ({"tpus": 4}, True), ({"custom": {"a": 1}}, False)],
)
def test_auto_inference_goes_where_the_cluster_has_an_accelerator(resources, accelerator):
    cluster = RayClusterConfig(inference=GroupResources(**resources))
    experiment = ExperimentConfig(builder=None, environment_factory=None)
    placed = place_inference(experiment, cluster.inference.has_accelerator)
    assert placed.distributed.inference == ("server" if accelerator else "local")
    assert group_sizes(placed).get("inference", 0) == accelerator
    chosen = dataclasses.replace(experiment, distributed=DistributedConfig(inference="split"))
    assert place_inference(chosen, cluster.inference.has_accelerator) == chosen


def test_machines_that_fit():
    check_resources(CLUSTER, SIZES, MACHINES)
    assert machines_for({"CPU": 4}, MACHINES) == ["10.0.0.1", "10.0.0.2"]
    assert machines_for({"CPU": 1, "actor": 1}, MACHINES) == ["10.0.0.2"]


def test_a_resource_that_no_machine_has_is_named():
    machines = {**MACHINES, "10.0.0.1": {"CPU": 4, "memory": 8 * 2**30}}
    with pytest.raises(UserError) as error:
        check_resources(CLUSTER, SIZES, machines)
    assert str(error.value) == (
        "no machine of the Ray cluster has 2 CPU, 1 GPU, which a node of the group learner "
        "requires; there are 1 with 4 CPU, 8.0 GiB of memory; 1 with 4 CPU, 1.0 GiB of memory, "
        "4 actor"
    )


def test_more_nodes_than_the_cluster_can_have_are_refused():
    with pytest.raises(UserError, match="requires 5 actor, and the Ray cluster has 4 actor"):
        check_resources(CLUSTER, {**SIZES, "actor": 5, "replay": 0}, MACHINES)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: GroupResources(custom={"GPU": 1}), "'GPU' is not a custom resource"),
        (lambda: GroupResources(cpus=-1), "cpus must be at least 0"),
        (lambda: RayClusterConfig(first_port=9), "first_port must be from 1024 to 65535, not 9"),
        (lambda: RayClusterConfig(last_port=65536), "last_port must be from 1024 to 65535"),
        (lambda: RayClusterConfig(first_port=3000, last_port=2000), "not be above last_port, 2000"),
        (
            lambda: RayClusterConfig(placement_seconds=0),
            "placement_seconds must be above 0 and at most",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_every_field_of_the_shipped_cluster_refuses_nonsense():
    config = load_config_file(str(ROOT / "configs" / "cluster_ray.py"))
    may_be_zero = {f"GroupResources.{name}" for name in ("cpus", "gpus", "tpus", "memory_gib")}
    for leaf in leaves(config):
        for text in ("banana", "", "nan", "inf", "-1", "1e39"):
            assert refusal(config, leaf.name, text), f"{leaf.name}={text}"
        if leaf.owner not in may_be_zero | {"GroupResources.custom"}:
            assert refusal(config, leaf.name, "0"), leaf.name
