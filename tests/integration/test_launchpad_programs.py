"""Real programs on real Launchpad, Reverb and ALE: do they run, and how do they end?"""

import os
import signal
import subprocess
import time

import pytest

pytest.importorskip("launchpad")

from mukoe.learning.checkpoint import Checkpointer  # noqa: E402
from tests.real_programs import ROOT, processes_of, rows, start_program, wait_for  # noqa: E402

pytestmark = [pytest.mark.launchpad, pytest.mark.timeout(900)]

BREAKING = ROOT / "tests" / "programs" / "breaking_pong.py"
TINY = (
    "--num_actors=2",
    "--config.agent.replay.min_size=40",
    "--config.agent.replay.batch_size=8",
    "--config.agent.replay.samples_per_insert=2",
    "--config.agent.loss.unroll_steps=2",
    "--config.agent.search.num_simulations=2",
    "--config.agent.network.width=8",
    "--config.environment.height=36",
    "--config.environment.width=36",
    "--config.run.log_seconds=1",
    "--config.run.evaluation_episodes=1",
)
SECONDS_TO_END = 15
started_programs = []


@pytest.fixture(autouse=True)
def nothing_is_left_running():
    yield
    for process in started_programs:
        if process.poll() is None:
            process.kill()  # Its nodes end with it.
            process.wait()
    started_programs.clear()


def start(workdir, *flags, config="configs/atari.py", program="launch_atari.py"):
    process = start_program(program, workdir, f"--config={config}", *flags)
    started_programs.append(process)
    return process


def finish(process, timeout=400):
    """Returns the output of a program that has to end by itself."""
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return output


def test_local_mp_with_server_trains_ends_and_resumes(tmp_path):
    workdir = tmp_path / "run"
    flags = (*TINY, "--lp_launch_type=local_mp", "--inference=server")
    process = start(workdir, *flags, "--max_actor_steps=400")
    output = finish(process)
    assert process.returncode == 0, output
    assert not processes_of(workdir)
    checkpointer = Checkpointer(workdir / "checkpoints")
    steps = checkpointer.latest_step()
    counts = checkpointer.read_metadata()["counts"]
    assert steps > 1 and counts["learner_steps"] == steps
    assert counts["actor_steps"] >= 400
    assert counts["environment_frames"] == 4 * counts["actor_steps"]
    first_rows = rows(workdir, "learner")
    assert float(first_rows[-1]["loss"]) > 0
    assert list((workdir / "tensorboard" / "learner").iterdir())

    process = start(workdir, *flags, "--max_actor_steps=800", "--resume")
    output = finish(process)
    assert process.returncode == 0, output
    assert Checkpointer(workdir / "checkpoints").latest_step() > steps
    resumed = rows(workdir, "learner")
    assert resumed[: len(first_rows) - 1] == first_rows[:-1]
    assert int(float(resumed[-1]["learner_steps"])) > steps
    resumed_counts = Checkpointer(workdir / "checkpoints").read_metadata()["counts"]
    assert resumed_counts["actor_steps"] >= 800
    # Continued, not begun again: the second run made about as many steps as the first.
    assert counts["actor_steps"] < resumed_counts["actor_steps"] < 400 + 800


def test_ctrl_c_saves_and_ends_every_process(tmp_path):
    workdir = tmp_path / "run"
    flags = (*TINY, "--lp_launch_type=local_mp", "--inference=local")
    process = start(workdir, *flags, "--config.run.checkpoint_seconds=1")
    checkpoints = workdir / "checkpoints" / "latest"
    wait_for(lambda: checkpoints.exists() and Checkpointer(checkpoints.parent).latest_step(), 200)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    output = finish(process, timeout=60)
    assert time.monotonic() - started < SECONDS_TO_END
    assert process.returncode == 130, output
    assert Checkpointer(checkpoints.parent).latest_step() > 1
    assert not processes_of(workdir)


@pytest.mark.slow
def test_a_node_that_fails_ends_the_program_with_its_own_error(tmp_path):
    workdir = tmp_path / "run"
    process = start(workdir, *TINY, "--lp_launch_type=local_mp", config=BREAKING)
    output = finish(process)
    assert process.returncode == 1, output
    assert "node actor_" in output and "the joystick came off" in output
    assert not processes_of(workdir)
