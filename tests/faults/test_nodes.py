"""Nodes of real programs that are killed or stopped: the program goes on as promised."""

import random
import signal
import time

import pytest

pytest.importorskip("launchpad")

from mukoe.learning.checkpoint import Checkpointer  # noqa: E402
from tests.faults.running import Program  # noqa: E402
from tests.real_programs import rows  # noqa: E402

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.launchpad,
    pytest.mark.timeout(1800),
]

NODES = ("actor_0", "evaluator", "counter", "replay", "learner")
SERVED = "--inference=server"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """One program for all faults in mid-run: it survives each of them."""
    with Program(tmp_path_factory.mktemp("program") / "run") as program:
        program.wait_until_learning()
        yield program
        assert program.stop() == 0, program.output


def check_goes_on(program, label, fault):
    """Whether a node comes back, no count goes back beyond the checkpoint, and all learn on."""
    restarts, counts, checkpoint = program.restarts(label), program.counts(), program.checkpoint()
    fault()
    program.wait_for(lambda: program.restarts(label) > restarts)
    program.wait_until_learning()
    now = program.counts()
    assert now["actor_steps"] >= counts["actor_steps"]
    assert now["learner_steps"] >= checkpoint
    assert rows(program.workdir, "supervisor")[-1][f"restarts_{label}"] == str(
        program.restarts(label)
    )


@pytest.mark.parametrize("node", NODES)
def test_killed_in_mid_run(program, node):
    check_goes_on(program, node, lambda: program.hurt(node, signal.SIGKILL))


@pytest.mark.parametrize("node", NODES)
def test_stopped_in_mid_run(program, node):
    check_goes_on(program, node, lambda: program.hurt(node, signal.SIGSTOP))
    assert f"node {node} gave no sign of life for 30 s" in program.output


def test_a_killed_fork_server_takes_its_nodes_along_and_all_come_back(program):
    acting = ("actor_0", "evaluator", "counter", "replay")
    restarts = {label: program.restarts(label) for label in acting}
    program.nodes["actor_0"].parent().kill()
    program.wait_for(lambda: all(program.restarts(label) > restarts[label] for label in acting))
    program.wait_until_learning()


def test_a_replay_that_dies_comes_back_with_its_checkpoint(program):
    folder = program.workdir / "checkpoints" / "replay"
    program.wait_for(lambda: list(folder.glob("*/DONE")))
    program.hurt("replay", signal.SIGKILL)
    restarts = program.restarts("replay")
    program.wait_for(lambda: program.restarts("replay") > restarts)
    program.wait_until_learning()
    log = (program.workdir / "logs" / "nodes" / "replay" / "0").read_text()
    assert "Loading checkpoint from" in log.rpartition("Initializing TFRecordCheckpointer")[2]


@pytest.mark.parametrize("node", ["learner", "replay"])
def test_killed_in_mid_checkpoint(program, node):
    torn = []
    check_goes_on(program, node, lambda: torn.append(program.tear_checkpoint(node)))
    program.wait_for(lambda: not torn[0].exists())
    log = (program.workdir / "logs" / "nodes" / node / "0").read_text()
    assert "damaged" not in log and "cannot be read" not in log


@pytest.mark.parametrize("seed", range(20))
def test_random_schedule(program, seed):
    print("seed", seed)
    random_ = random.Random(seed)
    counts, checkpoint = program.counts(), program.checkpoint()
    for _ in range(random_.randint(1, 3)):
        node = random_.choice(NODES)
        number = random_.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
        print("node", node, "signal", number)
        program.hurt(node, number)
        time.sleep(random_.uniform(0, 5))
    program.wait_until_learning()
    now = program.counts()
    assert now["actor_steps"] >= counts["actor_steps"] and now["learner_steps"] >= checkpoint


@pytest.mark.parametrize("node", NODES)
def test_killed_at_start(tmp_path, node):
    with Program(tmp_path / "run") as program:
        program.hurt(node, signal.SIGKILL)
        program.wait_until_learning()
        assert program.restarts(node) == 1
        assert program.stop() == 0, program.output


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("node", NODES)
def test_hurt_in_shutdown(tmp_path, node, number):
    with Program(tmp_path / "run") as program:
        program.wait_for(lambda: len(program.nodes) == len(NODES))
        victim, ports = program.nodes[node], program.ports
        begun = time.monotonic()
        program.process.send_signal(signal.SIGINT)
        victim.send_signal(number)
        assert program.process.wait(timeout=60) == 130, program.output
        assert time.monotonic() - begun < 15
        program.check_nothing_is_left(ports)


def test_an_inference_server_that_dies_comes_back(tmp_path):
    with Program(tmp_path / "run", SERVED) as program:
        program.wait_until_learning()
        for number in (signal.SIGKILL, signal.SIGSTOP):
            check_goes_on(program, "inference_0", lambda n=number: program.hurt("inference_0", n))
        assert program.stop() == 0, program.output


def test_too_many_deaths_end_the_program(tmp_path):
    with Program(tmp_path / "run", "--config.distributed.max_restarts=1") as program:
        program.hurt("actor_0", signal.SIGKILL)
        program.wait_for(lambda: program.restarts("actor_0") == 1)
        program.wait_for(lambda: "actor_0" in program.nodes)
        program.hurt("actor_0", signal.SIGKILL)
        assert program.process.wait(timeout=60) == 1
        assert "node actor_0 failed" in program.output


def test_a_killed_launcher_leaves_nothing_and_nothing_is_collected_again(tmp_path):
    workdir = tmp_path / "run"
    # A replay that is filled anew needs more steps than an actor may be ahead of the learner.
    min_size = 200
    flag = f"--config.agent.replay.min_size={min_size}"
    with Program(workdir, flag) as program:
        program.wait_until_learning(more=2 * min_size)
        program.wait_for(lambda: list((workdir / "checkpoints" / "replay").glob("*/DONE")))
        ports = program.ports
        program.process.kill()
        program.process.wait(timeout=30)
        program.check_nothing_is_left(ports)
        saved = Checkpointer(workdir / "checkpoints").read_metadata()["counts"]
    with Program(workdir, flag, "--resume") as resumed:
        resumed.wait_until_learning()
        first = next(
            row
            for row in rows(workdir, "learner")
            if float(row["learner_steps"]) > saved["learner_steps"]
        )
        assert float(first["actor_steps"]) < saved["actor_steps"] + min_size
        assert resumed.stop() == 0, resumed.output
