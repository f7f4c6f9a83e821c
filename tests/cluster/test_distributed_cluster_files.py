"""The cluster files: are they what Ray and Kubernetes take, and do they offer what is asked for?"""

import json
from pathlib import Path

import pytest
import yaml

jsonschema = pytest.importorskip("jsonschema")
pytest.importorskip("ray")
pytest.importorskip("launchpad")

from mukoe.configuration import load_config_file  # noqa: E402
from mukoe.layouts.distributed.ray.cluster import check_resources, machines_for  # noqa: E402

ROOT = Path(__file__).parents[2]
GCP = yaml.safe_load((ROOT / "cluster" / "gcp.yaml").read_text())
KUBERAY = yaml.safe_load((ROOT / "cluster" / "kuberay.yaml").read_text())
# Of the command in both files.
SIZES = {
    "replay": 1,
    "counter": 1,
    "learner": 1,
    "inference": 1,
    "actor": 59,
    "evaluator": 1,
}
MEMORY_UNITS = {"Gi": 2**30, "Mi": 2**20}


def gcp_machines(at_most=False):
    """Returns the resources of the permanent machines, or of one machine of each type."""
    machines = {}
    for name, kind in GCP["available_node_types"].items():
        count = 1 if at_most or name == GCP["head_node_type"] else kind["min_workers"]
        machines |= {f"{name} {index}": kind["resources"] for index in range(count)}
    return machines


def kuberay_groups():
    return [{"groupName": "head", "replicas": 1, **KUBERAY["spec"]["headGroupSpec"]}] + KUBERAY[
        "spec"
    ]["workerGroupSpecs"]


def kuberay_machines(at_most=False):
    machines = {}
    for group in kuberay_groups():
        start = group["rayStartParams"]
        offered = {"CPU": int(start["num-cpus"]), "memory": int(start["memory"])}
        offered["GPU"] = int(start.get("num-gpus", 0))
        # The shell takes the outer quotes away.
        offered |= json.loads(json.loads(start.get("resources", '"{}"')))
        count = 1 if at_most else group["replicas"]
        machines |= {f"{group['groupName']} {index}": offered for index in range(count)}
    return machines


def cluster_config():
    return load_config_file(str(ROOT / "configs" / "cluster_ray.py"))


@pytest.mark.parametrize("machines", [gcp_machines, kuberay_machines])
def test_everything_that_is_asked_for_is_offered(machines):
    check_resources(cluster_config(), SIZES, machines())


@pytest.mark.parametrize("machines", [gcp_machines, kuberay_machines])
@pytest.mark.parametrize("group", ["learner", "inference"])
def test_a_machine_with_tpus_can_be_had(machines, group):
    asked = cluster_config().of(group).amounts | {"TPU": 4}
    del asked["GPU"]
    assert machines_for(asked, machines(at_most=True))


def test_the_cluster_of_vms_is_what_ray_takes():
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(GCP))


def test_the_manifest_is_what_kuberay_takes():
    schema = json.loads((Path(__file__).parent / "raycluster_v1.json").read_text())
    validator = jsonschema.Draft7Validator(schema)
    assert [error.message for error in validator.iter_errors(KUBERAY)] == []
    misspelt = json.loads(json.dumps(KUBERAY))
    misspelt["spec"]["workerGroupSpecs"][0]["template"]["spec"]["container"] = []
    assert list(validator.iter_errors(misspelt))


def test_pods_have_what_their_ray_nodes_offer():
    for group in kuberay_groups():
        (container,) = group["template"]["spec"]["containers"]
        limits, start = container["resources"]["limits"], group["rayStartParams"]
        assert limits == container["resources"]["requests"]
        assert limits["cpu"] == start["num-cpus"]
        assert limits.get("nvidia.com/gpu") == start.get("num-gpus")
        memory = int(limits["memory"][:-2]) * MEMORY_UNITS[limits["memory"][-2:]]
        assert memory >= int(start["memory"]) + int(start["object-store-memory"])


def test_the_options_are_those_of_ray_start():
    from ray.scripts.scripts import start

    known = {option.lstrip("-") for parameter in start.params for option in parameter.opts}
    for group in kuberay_groups():
        assert set(group["rayStartParams"]) <= known
    for command in GCP["head_start_ray_commands"] + GCP["worker_start_ray_commands"]:
        options = {word[2:].partition("=")[0] for word in command.split() if word[:2] == "--"}
        assert options <= known


def test_both_files_have_the_version_of_ray_that_is_locked():
    lock = (ROOT / "requirements" / "lock-py310.txt").read_text()
    assert f"\nray=={KUBERAY['spec']['rayVersion']} " in lock
