"""Nodes started one by one, like the containers of docker/compose.yaml."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import portpicker
import pytest

pytest.importorskip("launchpad")

from mukoe.learning.checkpoint import Checkpointer  # noqa: E402

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "tests" / "faults" / "tiny_cartpole.py"
NODES = ("replay/0", "counter/0", "learner/0", "actor/0", "actor/1", "evaluator/0")


def run_node(node, *flags, environment=None, **arguments):
    command = [sys.executable, "programs/run_node.py", f"--node={node}", f"--config={CONFIG}"]
    return subprocess.Popen(
        [*command, "--inference=local", *flags],
        cwd=ROOT,
        env={**os.environ, "MUKOE_FLAGS": "--num_actors=2", **(environment or {})},
        text=True,
        **arguments,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("node", "flags", "environment", "message"),
    [
        ("actor", (), {}, "--node is GROUP/INDEX, such as --node=actor/0, not 'actor'"),
        ("actor/0", ("--inference=auto",), {}, "inference=auto depends on the machine"),
        ("actor/0", (), {}, "CLUSTER_SPEC must be .* there is no 'CLUSTER_SPEC'"),
        ("actor/0", (), {"CLUSTER_SPEC": "{}"}, "there is no 'cluster'"),
        ("actor/0", (), {"CLUSTER_SPEC": "[]"}, "CLUSTER_SPEC must be"),
        ("actor/2", (), {"CLUSTER_SPEC": '{"cluster": {}}'}, "no node actor/2; it has replay/0"),
        (
            "actor/1",
            (),
            {"CLUSTER_SPEC": '{"cluster": {"replay": ["a:1", "b:2"]}}'},
            "CLUSTER_SPEC has 2 addresses of replay, and the program has 1",
        ),
        ("actor/0", (), {"CLUSTER_SPEC": '{"cluster": {"replay": ["a"]}}'}, "'a' of replay is no"),
    ],
)
def test_mistakes_are_one_line(tmp_path, node, flags, environment, message):
    process = run_node(
        node,
        f"--workdir={tmp_path}",
        *flags,
        environment=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 2
    (line,) = [line for line in output.splitlines() if line.startswith("error:")]
    assert re.search(message, line)


@pytest.mark.slow
@pytest.mark.launchpad
@pytest.mark.timeout(900)
@pytest.mark.parametrize("runtime", ["launchpad", "zeromq"])
def test_nodes_that_are_started_one_by_one_train_and_end_with_0(tmp_path, runtime):
    workdir = tmp_path / "run"
    security = []
    if runtime == "zeromq":
        (tmp_path / "secret").write_text("0123456789abcdef")
        security = [f"--secret_file={tmp_path}/secret"]
    cluster = {}
    for node in NODES:
        address = f"localhost:{portpicker.pick_unused_port()}"
        cluster.setdefault(node.partition("/")[0], []).append(address)
    processes = {}
    try:
        for node in NODES:
            heartbeat = tmp_path / node.replace("/", "_")
            environment = {
                "CLUSTER_SPEC": json.dumps({"cluster": cluster}),
                "MUKOE_HEARTBEAT_FILE": str(heartbeat),
            }
            flags = (f"--workdir={workdir}", "--max_actor_steps=600", f"--runtime={runtime}")
            with open(heartbeat.with_suffix(".txt"), "w") as log:
                processes[node] = run_node(
                    node, *flags, *security, environment=environment, stdout=log, stderr=log
                )
        # As by `docker stop`.
        wait_for(lambda: (workdir / "logs" / "actor_1.csv").exists(), processes)
        processes["actor/1"].send_signal(signal.SIGTERM)
        assert processes["actor/1"].wait(60) == 0
        wait_for(lambda: all(p.poll() is not None for p in processes.values()), processes)
    finally:
        for process in processes.values():
            process.kill()
            process.wait(30)
    assert {process.returncode for process in processes.values()} == {0}
    checkpointer = Checkpointer(workdir / "checkpoints")
    assert checkpointer.read_metadata()["counts"]["actor_steps"] >= 600
    assert checkpointer.latest_step() > 1
    for node in NODES:
        assert (tmp_path / node.replace("/", "_")).exists(), "no sign of life"


def wait_for(condition, processes, seconds=500):
    end = time.monotonic() + seconds
    while not condition():
        assert not any(process.poll() for process in processes.values())
        assert time.monotonic() < end
        time.sleep(0.2)
