"""Machines for the groups: what Vertex AI and XManager can express, and what is refused."""

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("xmanager")

from mukoe.configuration import load_config_file  # noqa: E402
from mukoe.errors import UserError  # noqa: E402
from mukoe.layouts.common.experiment import DistributedConfig, ExperimentConfig  # noqa: E402
from mukoe.layouts.distributed.placement import place_inference  # noqa: E402
from mukoe.layouts.distributed.vertex.cluster import (  # noqa: E402
    Machine,
    VertexClusterConfig,
    xm_resources,
)
from tests.configuration.fuzzed import leaves, refusal  # noqa: E402

ROOT = Path(__file__).parents[4]
GROUPS = ("replay", "counter", "learner", "inference", "actor", "evaluator")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"accelerator": "tpu_v4"}, "unknown accelerator 'tpu_v4': XManager 0.7 supports p4"),
        ({"accelerator": "tpu_v5e"}, "unknown accelerator"),
        ({"accelerator": "h100", "accelerator_count": 8}, "unknown accelerator 'h100'"),
        (
            {"accelerator": "v100", "accelerator_count": 3},
            "a machine has 1, 2, 4, 8 of v100, not 3",
        ),
        ({"accelerator": "t4"}, "a machine has 1, 2, 4 of t4, not 0"),
        ({"accelerator_count": 1}, "without an accelerator has accelerator_count 0"),
        (
            {"accelerator": "v100", "accelerator_count": 1, "cpus": 16},
            "with 1 of v100 has at most 12 vCPUs, not 16",
        ),
        ({"cpus": 0}, "cpus must be from 1 to 96, not 0"),
    ],
)
def test_machines_that_vertex_does_not_have_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        Machine(**fields)


def test_five_kinds_of_machines_are_more_than_four_pools():
    kinds = {group: Machine(cpus=4 * index) for index, group in enumerate(GROUPS[:5], 1)}
    with pytest.raises(
        UserError, match=r"has 4 worker pools, and the groups have 5 kinds .*counter;"
    ):
        xm_resources(VertexClusterConfig(**kinds), GROUPS[:5], Path("code"), Path("locks"))


def test_every_group_gets_its_machine_and_the_packages_for_it():
    cluster = load_config_file(str(ROOT / "configs" / "cluster_vertex_gpu.py"))
    resources = xm_resources(cluster, GROUPS, Path("code"), ROOT / "requirements")
    locks = {group: Path(config.docker_requirements) for group, config in resources.items()}
    assert {group: lock.name for group, lock in locks.items()} == {
        "replay": "container-cpu.txt",
        "counter": "container-cpu.txt",
        "learner": "container-cuda12.txt",
        "inference": "container-cuda12.txt",
        "actor": "container-cpu.txt",
        "evaluator": "container-cpu.txt",
    }
    assert all(lock.is_file() for lock in locks.values())


@pytest.mark.parametrize(
    ("accelerator", "wanted", "inference"),
    [
        (Machine(accelerator="t4", accelerator_count=1), "auto", "server"),
        (Machine(), "auto", "local"),
        (Machine(), "split", "split"),
    ],
)
def test_auto_inference_is_decided_by_the_cluster(accelerator, wanted, inference):
    experiment = ExperimentConfig(
        builder=None, environment_factory=None, distributed=DistributedConfig(inference=wanted)
    )
    cluster = dataclasses.replace(VertexClusterConfig(), inference=accelerator)
    assert (
        place_inference(experiment, cluster.inference.accelerator is not None).distributed.inference
        == inference
    )


@pytest.mark.parametrize("name", ["cluster_vertex_cpu.py", "cluster_vertex_gpu.py"])
def test_every_field_of_the_shipped_clusters_refuses_nonsense(name):
    config = load_config_file(str(ROOT / "configs" / name))
    for leaf in leaves(config):
        if leaf.owner == "VertexClusterConfig.packages":
            continue  # Folders, which are looked for when they are copied.
        for text in ("banana", "", "nan", "inf", "-1", str(10**9)):
            assert refusal(config, leaf.name, text), f"{leaf.name}={text}"
