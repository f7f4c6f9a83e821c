"""programs/launch.py from the command line."""

import csv
import dataclasses
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mukoe.configuration import load_config
from mukoe.layouts.common.checkpointing import stored_counts
from mukoe.learning.checkpoint import Checkpointer
from tests.programs.forked import run_program

ROOT = Path(__file__).parents[2]
CARTPOLE = "--config=configs/cartpole.py"
TINY = (
    "--config.agent.network.width=8",
    "--config.agent.search.num_simulations=2",
    "--config.agent.replay.min_size=50",
    "--config.agent.replay.batch_size=8",
    "--config.agent.loss.unroll_steps=2",
    "--config.run.evaluation_episodes=1",
    "--config.run.log_period=100",
)


def test_trains_another_environment_and_resumes_after_ctrl_c(tmp_path):
    flags = (
        *(f"--workdir={tmp_path}", CARTPOLE, "--env=Acrobot-v1", "--seed=5"),
        *("--config.run.keep_checkpoints=7", "--config.run.checkpoint_period=20", *TINY),
    )
    process = subprocess.Popen(
        [sys.executable, "programs/launch.py", *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    log = tmp_path / "logs" / "learner.csv"
    try:
        end = time.monotonic() + 120
        while not (log.exists() and len(log.read_text().splitlines()) > 1):
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.2)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, output
    assert time.monotonic() - started < 15
    assert "--resume" in output and "Traceback" not in output
    steps = stored_counts(tmp_path)["actor_steps"]
    checkpoints = Checkpointer(tmp_path / "checkpoints").steps()
    config = load_config(tmp_path)

    limit = f"--max_actor_steps={steps + 200}"
    (hint,) = re.findall(r"resume with: +python\S* programs/launch.py (.*)", output)
    assert hint.split() == ["--resume", f"--workdir={tmp_path}"]
    result = run_program("launch.py", *hint.split(), limit, "--config.run.checkpoint_period=0")
    assert result.returncode == 0, result.stderr
    assert set(checkpoints[1:]) < set(Checkpointer(tmp_path / "checkpoints").steps())
    run = dataclasses.replace(config.run, max_actor_steps=steps + 200, checkpoint_period=0)
    assert load_config(tmp_path) == dataclasses.replace(config, run=run)
    assert config.run.seed == 5
    assert stored_counts(tmp_path)["actor_steps"] >= steps + 200
    rows = list(csv.DictReader(log.read_text().splitlines()))
    counted = [int(row["actor_steps"]) for row in rows]
    assert counted == sorted(set(counted))


@pytest.mark.parametrize(
    "flags, expected",
    [
        (["--env=CartPole-v11"], "did you mean CartPole"),
        ([CARTPOLE, "--env=Pendulum-v1"], "Discrete"),
        ([CARTPOLE, "--env=2048"], "torso 'mlp' takes vectors"),
        (["--config=configs/nothing.py"], "does not exist"),
        (["--layout=remote"], "layout"),
        (["--config.agent.replay.samples_per_insert=none"], "samples_per_insert"),
    ],
)
def test_bad_input_gets_one_line(tmp_path, flags, expected):
    result = run_program("launch.py", f"--workdir={tmp_path / 'run'}", *flags)
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: ") and expected in lines[0], lines
    assert not (tmp_path / "run").exists()
