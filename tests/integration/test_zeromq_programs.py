"""Real programs on the ZeroMQ runtime: training, end, resume, Ctrl-C, errors of nodes."""

import signal
import time

import pytest

pytest.importorskip("zmq")

from mukoe.learning.checkpoint import Checkpointer  # noqa: E402
from tests.real_programs import ROOT, processes_of, rows, start_program, wait_for  # noqa: E402

pytestmark = pytest.mark.timeout(600)

CONFIG = ROOT / "tests" / "faults" / "tiny_cartpole.py"
SECONDS_TO_END = 15


@pytest.fixture
def start():
    """Function that starts a program, which is killed at the end of the test."""
    programs = []

    def start_on_zeromq(workdir, *flags):
        layout = ("--layout=distributed", "--runtime=zeromq")
        program = start_program("launch.py", workdir, *layout, *flags)
        programs.append(program)
        return program

    yield start_on_zeromq
    for program in programs:
        program.kill()
        program.wait()


def test_processes_with_a_server_train_end_and_resume(tmp_path, start):
    workdir = tmp_path / "run"
    flags = (f"--config={CONFIG}", "--lp_launch_type=local_mp", "--inference=server")
    program = start(workdir, *flags, "--max_actor_steps=2000")
    output, _ = program.communicate(timeout=200)
    assert program.returncode == 0 and "the step limit is reached" in output, output
    assert not processes_of(workdir)
    checkpointer = Checkpointer(workdir / "checkpoints")
    counts = checkpointer.read_metadata()["counts"]
    assert counts["actor_steps"] >= 2000 and counts["learner_steps"] > 1
    assert float(rows(workdir, "learner")[-1]["loss"]) > 0

    program = start(workdir, "--resume", "--inference=split", "--max_actor_steps=4000")
    output, _ = program.communicate(timeout=200)
    assert program.returncode == 0, output
    resumed = Checkpointer(workdir / "checkpoints").read_metadata()["counts"]
    assert resumed["learner_steps"] > counts["learner_steps"]
    assert 4000 <= resumed["actor_steps"] < counts["actor_steps"] + 4000
    # The replay was restored: the learner did not wait until it was filled anew.
    assert "filling replay" not in output


@pytest.mark.slow
def test_two_learners_train_end_and_resume(tmp_path, start):
    workdir = tmp_path / "run"
    flags = (f"--config={CONFIG}", "--lp_launch_type=local_mp", "--num_learners=2")
    checkpointer = Checkpointer(workdir / "checkpoints")
    steps = 0
    for end, arguments in ((500, flags), (1000, ("--resume",))):
        program = start(workdir, *arguments, f"--max_actor_steps={end}")
        output, _ = program.communicate(timeout=200)
        assert program.returncode == 0 and "the step limit is reached" in output, output
        assert not processes_of(workdir)
        learner_steps = checkpointer.read_metadata()["counts"]["learner_steps"]
        assert learner_steps > steps + 1
        steps = learner_steps


@pytest.mark.slow
@pytest.mark.parametrize("launch_type", ["local_mt", "local_mp"])
def test_ctrl_c_saves_and_ends_every_node(tmp_path, start, launch_type):
    workdir = tmp_path / "run"
    program = start(workdir, f"--config={CONFIG}", f"--lp_launch_type={launch_type}")
    checkpointer = Checkpointer(workdir / "checkpoints")
    wait_for(lambda: (checkpointer.latest_step() or 0) > 1, 200)
    begun = time.monotonic()
    program.send_signal(signal.SIGINT)
    output, _ = program.communicate(timeout=60)
    assert time.monotonic() - begun < SECONDS_TO_END
    assert program.returncode == 130 and "ended: Ctrl-C" in output, output
    assert not processes_of(workdir)


@pytest.mark.slow
@pytest.mark.parametrize("launch_type", ["local_mt", "local_mp"])
def test_a_node_that_fails_ends_the_program_with_its_own_error(tmp_path, start, launch_type):
    config = ROOT / "tests" / "programs" / "breaking_pong.py"
    flags = ("--config.run.evaluation_period=0", f"--lp_launch_type={launch_type}")
    program = start(tmp_path / "run", f"--config={config}", *flags)
    output, _ = program.communicate(timeout=300)
    assert program.returncode == 1, output
    assert "node actor_" in output and "the joystick came off" in output
