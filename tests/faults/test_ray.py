"""Processes and machines of a Ray cluster that die: the program continues as documented."""

import re
import signal

import psutil
import pytest

pytest.importorskip("ray")

from mukoe.learning.checkpoint import Checkpointer  # noqa: E402
from tests.faults.ray_running import RayProgram, add_second, ray_cluster  # noqa: E402
from tests.faults.running import check_goes_on  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.launchpad,
    pytest.mark.timeout(1800),
]


@pytest.fixture(scope="module")
def cluster():
    with ray_cluster() as cluster:
        # Another one for replay: Ray gives a machine 30 s to start, too little beside a program.
        add_second(cluster)
        yield cluster


def test_a_killed_launcher_leaves_nothing_and_ctrl_c_ends_the_resumed_run(
    cluster, runtime, tmp_path
):
    with RayProgram(tmp_path / "run", cluster, runtime) as program:
        program.wait_until_learning()
        ports = program.ports
        program.process.kill()
        program.process.wait(timeout=30)
        program.check_nothing_is_left(ports, seconds=30)
    saved = Checkpointer(program.workdir / "checkpoints").read_metadata()["counts"]
    with RayProgram(tmp_path / "run", cluster, "--resume") as resumed:
        resumed.wait_until_learning()
        assert resumed.stop(signal.SIGINT) == 130, resumed.output
    counts = Checkpointer(program.workdir / "checkpoints").read_metadata()["counts"]
    assert counts["learner_steps"] > saved["learner_steps"]
    assert not re.search(r"node \w+ .*: restart", resumed.output)


@pytest.fixture(scope="module")
def program(cluster, runtime, tmp_path_factory):
    """One program for all faults: it survives each of them."""
    workdir = tmp_path_factory.mktemp("program") / "run"
    with RayProgram(workdir, cluster, runtime) as program:
        program.wait_until_learning()
        yield program
        assert program.stop() == 0, program.output


@pytest.mark.parametrize("node", ["actor_0", "learner"])
def test_a_killed_process_comes_back_on_its_machine(program, node):
    ports, raylet = program.ports, program.raylet_of(node)
    check_goes_on(program, node, lambda: program.hurt(node, signal.SIGKILL))
    assert f"node {node} was killed by SIGKILL: restart" in program.output
    if node == "learner":
        assert program.ports == ports and program.raylet_of(node) == raylet


def test_a_stopped_process_is_killed_and_comes_back(program):
    check_goes_on(program, "actor_1", lambda: program.hurt("actor_1", signal.SIGSTOP))
    assert "node actor_1 sent no heartbeat for 30 s: restart" in program.output


def test_a_killed_ray_worker_takes_its_process_with_it_and_both_come_back(program):
    process = program.nodes["actor_0"]
    check_goes_on(program, "actor_0", process.parent().kill)
    assert not process.is_running()
    assert "node actor_0 has lost its Ray actor" in program.output


def test_nodes_of_a_killed_machine_move_and_the_others_learn_the_new_addresses(cluster, program):
    raylet = program.raylet_of("replay")
    (machine,) = (
        node
        for node in cluster.worker_nodes
        if node.all_processes["raylet"][0].process.pid == raylet.pid
    )
    lost = [program.nodes[label] for label in program.nodes if program.raylet_of(label) == raylet]
    ports = program.ports

    def kill_machine():
        cluster.remove_node(machine, allow_graceful=False)
        assert psutil.wait_procs(lost, timeout=30)[1] == []

    check_goes_on(program, "replay", kill_machine)
    assert program.ports != ports
    # The reason depends on which request fails first.
    assert re.search(r"node replay (has lost its machine|cannot be reached) on", program.output)
    assert "node learner needs the new address of replay/0: restart" in program.output
