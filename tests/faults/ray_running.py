"""Two Ray nodes on this machine, and programs on them."""

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

import psutil
from ray.cluster_utils import Cluster

from tests.faults.running import Program
from tests.real_programs import processes_of

CLUSTER = Path(__file__).parent / "tiny_ray_cluster.py"
# The second machine is needed by replay and by an actor.
FIRST, SECOND = {"actor": 1}, {"actor": 1, "replay": 1}


@contextlib.contextmanager
def ray_cluster():
    """A cluster of `FIRST` and `SECOND`, without prestarted workers."""
    # A socket's path must be short.
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": folder}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 2,
            "resources": FIRST,
            "include_dashboard": False,
            "object_store_memory": 80 * 2**20,
            "_system_config": {
                "enable_worker_prestart": False,
                "prestart_worker_first_driver": False,
                "health_check_period_ms": 1000,
            },
        },
    )
    try:
        add_second(cluster)
        yield cluster
    finally:
        cluster.shutdown()
        del os.environ["RAY_TMPDIR"]
        shutil.rmtree(folder, ignore_errors=True)


def add_second(cluster):
    cluster.add_node(num_cpus=2, resources=SECOND, object_store_memory=80 * 2**20)


class RayProgram(Program):
    """A program under `programs/launch.py` on a Ray cluster."""

    def __init__(self, workdir, cluster, *flags):
        super().__init__(
            workdir,
            "--launcher=ray",
            f"--ray_address={cluster.address}",
            f"--cluster={CLUSTER}",
            "--num_actors=2",
            *flags,
        )

    @property
    def nodes(self):
        """Processes by the label of their node."""
        found = {}
        for process in processes_of(self.workdir):
            with contextlib.suppress(psutil.Error, KeyError):
                found[process.environ()["MUKOE_NODE"]] = process
        return found

    @property
    def ports(self):
        lines = re.findall(r"^(.*) (?:are open to|accept the nodes)", self.output, re.MULTILINE)
        return [int(port) for port in re.findall(r":(\d+)", lines[-1])]

    def raylet_of(self, label):
        """The process of the Ray node on which a node is."""
        return next(p for p in self.nodes[label].parents() if p.name() == "raylet")
