"""Nodes of real programs that are hurt at the start or the end, or die too often."""

import functools
import signal
import time

import pytest

from mukoe.learning.checkpoint import Checkpointer
from tests.faults.running import NODES, Program, check_goes_on
from tests.real_programs import rows

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.launchpad,
    pytest.mark.timeout(1800),
]

SERVED = "--inference=server"


@pytest.mark.parametrize("node", NODES)
def test_killed_at_start(tmp_path, runtime, node):
    with Program(tmp_path / "run", runtime) as program:
        program.hurt(node, signal.SIGKILL)
        program.wait_until_learning()
        assert program.restarts(node) == 1
        assert program.stop() == 0, program.output


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("node", NODES)
def test_hurt_in_shutdown(tmp_path, runtime, node, number):
    with Program(tmp_path / "run", runtime) as program:
        program.wait_for(lambda: len(program.nodes) == len(NODES))
        victim, ports = program.nodes[node], program.ports
        begun = time.monotonic()
        program.process.send_signal(signal.SIGINT)
        victim.send_signal(number)
        assert program.process.wait(timeout=60) == 130, program.output
        assert time.monotonic() - begun < 15
        program.check_nothing_is_left(ports)


def test_an_inference_server_that_dies_comes_back(tmp_path, runtime):
    with Program(tmp_path / "run", runtime, SERVED) as program:
        program.wait_until_learning()
        for number in (signal.SIGKILL, signal.SIGSTOP):
            check_goes_on(program, "inference_0", lambda n=number: program.hurt("inference_0", n))
        assert program.stop() == 0, program.output


def test_a_learner_of_several_that_dies_or_hangs_restarts_all(tmp_path, runtime):
    if runtime != "--runtime=zeromq":
        pytest.skip("several learners are for the runtime zeromq")
    with Program(tmp_path / "run", runtime, "--num_learners=2") as program:
        program.wait_until_learning()
        for node, number in (("learner_1", signal.SIGKILL), ("learner", signal.SIGSTOP)):
            hurt = functools.partial(program.hurt, node, number)
            check_goes_on(program, node, hurt)
        assert program.stop() == 0, program.output


@pytest.mark.parametrize("place", ["local", "server"])
def test_a_reanalyser_that_dies_or_hangs_comes_back(tmp_path, runtime, place):
    flags = ["--num_reanalysers=1", "--config.agent.reanalyse.mode=nodes"]
    if place == "server":
        flags += [SERVED, "--config.distributed.reanalysis=server"]
    with Program(tmp_path / "run", runtime, *flags) as program:
        program.wait_until_learning()
        for number in (signal.SIGKILL, signal.SIGSTOP):
            check_goes_on(program, "reanalyser_0", lambda n=number: program.hurt("reanalyser_0", n))
        assert program.stop() == 0, program.output


def test_too_many_deaths_end_the_program(tmp_path, runtime):
    with Program(tmp_path / "run", runtime, "--config.distributed.max_restarts=1") as program:
        program.hurt("actor_0", signal.SIGKILL)
        program.wait_for(lambda: program.restarts("actor_0") == 1)
        program.wait_for(lambda: "actor_0" in program.nodes)
        program.hurt("actor_0", signal.SIGKILL)
        assert program.process.wait(timeout=60) == 1
        assert "node actor_0 failed" in program.output


def test_a_killed_launcher_leaves_nothing_and_nothing_is_collected_again(tmp_path, runtime):
    workdir = tmp_path / "run"
    # A replay that is filled anew needs more steps than an actor may be ahead of the learner.
    min_size = 200
    flag = f"--config.agent.replay.min_size={min_size}"
    with Program(workdir, runtime, flag) as program:
        program.wait_until_learning(more=2 * min_size)
        program.wait_for(lambda: program.replay_checkpoints)
        ports = program.ports
        program.process.kill()
        program.process.wait(timeout=30)
        program.check_nothing_is_left(ports)
        saved = Checkpointer(workdir / "checkpoints").read_metadata()["counts"]
    with Program(workdir, runtime, flag, "--resume") as resumed:
        resumed.wait_until_learning()
        first = next(
            row
            for row in rows(workdir, "learner")
            if float(row["learner_steps"]) > saved["learner_steps"]
        )
        assert float(first["actor_steps"]) < saved["actor_steps"] + min_size
        assert resumed.stop() == 0, resumed.output
