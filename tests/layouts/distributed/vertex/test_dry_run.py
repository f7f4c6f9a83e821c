"""Dry run of Vertex AI, and a training run with a local process for each of its machines."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import portpicker
import pytest

pytest.importorskip("xmanager")

from mukoe.configuration import import_folders, load_config_file  # noqa: E402
from mukoe.errors import UserError  # noqa: E402
from mukoe.layouts.distributed.vertex import account, images, launch, pools  # noqa: E402
from mukoe.learning.checkpoint import Checkpointer  # noqa: E402

ROOT = Path(__file__).parents[4]
CONFIG = str(ROOT / "tests" / "faults" / "tiny_cartpole.py")
WORKDIR = "gs://bucket/runs/x"


def dry_run(folder, cluster="cpu", **distributed):
    config = load_config_file(CONFIG)
    config = dataclasses.replace(
        config,
        run=dataclasses.replace(config.run, max_actor_steps=600),
        distributed=dataclasses.replace(config.distributed, num_actors=2, **distributed),
    )
    machines = load_config_file(str(ROOT / "configs" / f"cluster_vertex_{cluster}.py"))
    files = launch.run_files(config, CONFIG)
    launch.write_dry_run(config.make_experiment(), machines, files, WORKDIR, folder)
    return json.loads((folder / pools.JOB_FILE).read_text())


@pytest.fixture(scope="module")
def cpu(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cpu")
    return folder, dry_run(folder, "cpu", inference="local")


@pytest.fixture(scope="module")
def gpu(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu")
    return folder, dry_run(folder, "gpu", inference="auto", num_inference_servers=2)


def machines_of(description):
    return [
        (
            int(pool["replicaCount"]),
            pool["machineSpec"]["machineType"],
            pool["machineSpec"].get("acceleratorType"),
            pool["machineSpec"].get("acceleratorCount"),
            [(node["node"], node["port"]) for node in description["nodes"][name]],
        )
        for name, pool in zip(
            description["nodes"], description["job"]["jobSpec"]["workerPoolSpecs"], strict=True
        )
    ]


def test_equal_machines_are_two_pools_of_which_the_first_has_one_node(cpu):
    assert list(cpu[1]["nodes"]) == ["workerpool0", "workerpool1"]
    assert machines_of(cpu[1]) == [
        (1, "n1-standard-8", None, None, [("replay", "reverb")]),
        (
            5,
            "n1-standard-8",
            None,
            None,
            [
                ("counter", "courier"),
                ("learner", "courier"),
                ("actor_0", None),
                ("actor_1", None),
                ("evaluator", None),
            ],
        ),
    ]


def test_gpus_are_where_the_cluster_has_them(gpu):
    steppers = [("counter", "courier"), ("actor_0", None), ("actor_1", None), ("evaluator", None)]
    servers = [("inference_0", "courier"), ("inference_1", "courier")]
    learner = [("learner", "courier")]
    assert machines_of(gpu[1]) == [
        (1, "n1-highmem-8", None, None, [("replay", "reverb")]),
        (4, "n1-standard-4", None, None, steppers),
        (1, "a2-highgpu-1g", "NVIDIA_TESLA_A100", 1, learner),
        (2, "n1-standard-8", "NVIDIA_TESLA_T4", 1, servers),
    ]


@pytest.mark.parametrize("pool", range(4))
def test_a_build_context_has_what_its_dockerfile_copies(gpu, pool):
    folder = gpu[0] / f"workerpool{pool}"
    platform = "cuda12" if pool > 1 else "cpu"
    lines = (folder / "Dockerfile").read_text().splitlines()
    (code,) = [path for path in folder.iterdir() if path.is_dir()]
    lock = (ROOT / "requirements" / f"container-{platform}.txt").read_bytes()
    assert (code / "requirements.txt").read_bytes() == lock
    for name in ("process_entry.py", "job.pkl", "mukoe/layouts/distributed/nodes/learner.py"):
        assert (code / name).is_file()
    sources = [line.split()[1:-1] for line in lines if line.startswith("COPY")]
    assert sources and all((folder / source).exists() for line in sources for source in line)
    assert "FROM python:3.10-slim-bookworm" in lines
    assert f"WORKDIR /{code.name}" in lines and lines[-1] == 'ENTRYPOINT ["./entrypoint.sh"]'
    assert ('ENV JAX_PLATFORMS="cuda,cpu"' in lines) == (platform == "cuda12")
    assert not any("apt-get" in line or "libpython" in line for line in lines)
    (command,) = re.findall("^exec .*$", (folder / "entrypoint.sh").read_text(), re.MULTILINE)
    assert "-m process_entry --data_file=job.pkl --lp_termination_notice_secs=-1" in command


def test_images_have_the_modules_beside_the_config_file(tmp_path, monkeypatch):
    monkeypatch.setattr(import_folders, "_folders", [])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    (tmp_path / "own_module_of_an_image.py").write_text("")
    (tmp_path / "config.py").write_text(
        "import own_module_of_an_image\n"
        "from mukoe.layouts.distributed.vertex.cluster import VertexClusterConfig\n"
        "def get_config():\n    return VertexClusterConfig()\n"
    )
    cluster = load_config_file(str(tmp_path / "config.py"))
    with images.code_folder(cluster) as folder:
        assert (folder / "own_module_of_an_image.py").is_file()
        assert not (folder / "config.py").exists()


def test_a_folder_with_something_in_it_is_refused(cpu):
    with pytest.raises(UserError, match="the folder of --dry_run must be empty"):
        dry_run(cpu[0])


def test_a_replay_that_its_machine_cannot_hold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mukoe.layouts.distributed.graph._PIXEL_COMPRESSION", 1)
    config = load_config_file(CONFIG)
    replay = dataclasses.replace(config.agent.replay, capacity=10**9)
    config = dataclasses.replace(config, agent=dataclasses.replace(config.agent, replay=replay))
    cluster = load_config_file(str(ROOT / "configs" / "cluster_vertex_cpu.py"))
    with pytest.raises(UserError, match="30.0 GiB are available; lower the capacity"):
        launch.write_dry_run(config.make_experiment(), cluster, {}, WORKDIR, tmp_path)


class Jobs:
    """Every machine of a dry run as a process, on one machine."""

    def __init__(self, folder, logs):
        self.folder, self.logs = folder, logs
        nodes = json.loads((folder / pools.JOB_FILE).read_text())["nodes"]
        self.cluster = {
            pool: [f"localhost:{portpicker.pick_unused_port()}" for _ in members]
            for pool, members in nodes.items()
        }
        self.places = {
            node["node"]: (pool, index)
            for pool, members in nodes.items()
            for index, node in enumerate(members)
        }
        logs.mkdir()
        self.processes = {}

    def __enter__(self):
        for label in self.places:
            self.start(label)
        return self

    def __exit__(self, *unused):
        for process in self.processes.values():
            process.kill()
            process.wait(30)

    def start(self, label):
        pool, index = self.places[label]
        folder = self.folder / pool
        (code,) = [path for path in folder.iterdir() if path.is_dir()]
        dockerfile = (folder / "Dockerfile").read_text()
        task = {"type": pool, "index": index}
        environment = {
            **os.environ,
            **dict(re.findall(r'^ENV (\w+)="(.*)"$', dockerfile, re.MULTILINE)),
            "CLUSTER_SPEC": json.dumps({"cluster": self.cluster, "task": task}),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        with open(self.logs / label, "a") as log:
            self.processes[label] = subprocess.Popen(
                ["bash", "../entrypoint.sh"], cwd=code, env=environment, stdout=log, stderr=log
            )

    def wait_for(self, condition, seconds=500):
        end = time.monotonic() + seconds
        while not condition():
            failed = [label for label, process in self.processes.items() if process.poll()]
            assert not failed, (self.logs / failed[0]).read_text()
            assert time.monotonic() < end, f"waited in vain; see {self.logs}"
            time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.launchpad
@pytest.mark.timeout(900)
def test_the_jobs_train_and_end_with_0_though_one_is_started_again(tmp_path, monkeypatch):
    mounted = tmp_path / "gcs" / "bucket" / "runs" / "x"
    monkeypatch.setattr(account, "mounted", lambda *unused: mounted)
    dry_run(tmp_path / "dry", inference="server")
    checkpointer = Checkpointer(mounted / "checkpoints")
    with Jobs(tmp_path / "dry", tmp_path / "logs") as jobs:
        jobs.wait_for(lambda: (mounted / "logs" / "actor_0.csv").exists())
        jobs.processes["actor_0"].kill()
        jobs.processes["actor_0"].wait(30)
        jobs.start("actor_0")
        jobs.wait_for(lambda: all(p.poll() is not None for p in jobs.processes.values()))
        assert {p.returncode for p in jobs.processes.values()} == {0}
    counts = checkpointer.read_metadata()["counts"]
    assert counts["actor_steps"] >= 600
    assert counts["learner_steps"] == checkpointer.latest_step() > 1
    assert (mounted / "starts" / "actor_0").read_text() == "2"
    assert (mounted / "config.py").read_text() == Path(CONFIG).read_text()
    assert not (mounted / "failures").exists() and not (mounted / "failure.json").exists()
    assert list((mounted / "checkpoints" / "replay").glob("*/DONE"))
