"""Nodes of one real program that are killed or stopped in mid-run: it survives each of them."""

import random
import signal
import time

import pytest

from tests.faults.running import NODES, Program, check_goes_on

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.launchpad,
    pytest.mark.timeout(1800),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory, runtime):
    """One program for all of this file."""
    with Program(tmp_path_factory.mktemp("program") / "run", runtime) as program:
        program.wait_until_learning()
        yield program
        assert program.stop() == 0, program.output


@pytest.mark.parametrize("node", NODES)
def test_killed_in_mid_run(program, node):
    check_goes_on(program, node, lambda: program.hurt(node, signal.SIGKILL))


@pytest.mark.parametrize("node", NODES)
def test_stopped_in_mid_run(program, node):
    check_goes_on(program, node, lambda: program.hurt(node, signal.SIGSTOP))
    assert f"node {node} sent no heartbeat for 30 s" in program.output


def test_a_killed_fork_server_takes_its_nodes_along_and_all_come_back(program):
    acting = ("actor_0", "evaluator", "counter", "replay")
    restarts = {label: program.restarts(label) for label in acting}
    program.nodes["actor_0"].parent().kill()
    program.wait_for(lambda: all(program.restarts(label) > restarts[label] for label in acting))
    program.wait_until_learning()


def test_a_replay_that_dies_comes_back_with_its_checkpoint(program):
    program.wait_for(lambda: program.replay_checkpoints)
    program.hurt("replay", signal.SIGKILL)
    restarts = program.restarts("replay")
    program.wait_for(lambda: program.restarts("replay") > restarts)
    program.wait_until_learning()
    log = (program.workdir / "logs" / "nodes" / "replay" / "0").read_text()
    if program.is_on_reverb:
        assert "Loading checkpoint from" in log.rpartition("Initializing TFRecordCheckpointer")[2]
    else:
        assert "restored the replay" in log


@pytest.mark.parametrize("node", ["learner", "replay"])
def test_killed_in_mid_checkpoint(program, node):
    torn = []
    check_goes_on(program, node, lambda: torn.append(program.tear_checkpoint(node)))
    program.wait_for(lambda: not torn[0].exists())
    log = (program.workdir / "logs" / "nodes" / node / "0").read_text()
    assert "damaged" not in log and "cannot be read" not in log


def test_a_counter_that_dies_is_not_behind_the_checkpoint(program):
    for _ in range(3):
        before = program.checkpoint()
        program.wait_for(lambda before=before: program.checkpoint() > before)
        newest = program.checkpoint()
        program.nodes["counter"].kill()
        assert program.counts()["learner_steps"] >= newest
        program.wait_for(lambda: "counter" in program.nodes)
        program.wait_until_learning()


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
