"""Programs whose nodes are threads of one process, with real Launchpad, Reverb and ALE."""

import csv
from pathlib import Path

import pytest

pytest.importorskip("launchpad")

from mukoe.learning.checkpoint import Checkpointer  # noqa: E402
from tests.programs.forked import run_program  # noqa: E402

pytestmark = pytest.mark.timeout(300)

FLAGS = (
    "--lp_launch_type=local_mt",
    "--config.agent.replay.min_size=40",
    "--config.agent.search.num_simulations=2",
    "--config.agent.loss.unroll_steps=2",
    "--config.run.evaluation_episodes=1",
    "--config.run.log_seconds=1",
)


def test_any_environment_with_local_inference(tmp_path):
    result = run_program(
        "launch.py",
        "--layout=distributed",
        "--config=configs/cartpole.py",
        f"--workdir={tmp_path}",
        "--inference=local",
        "--max_actor_steps=300",
        *FLAGS,
    )
    assert result.returncode == 0, result.stderr
    assert Checkpointer(tmp_path / "checkpoints").latest_step() > 0
    with open(tmp_path / "logs" / "actor_0.csv") as file:
        assert float(list(csv.DictReader(file))[-1]["search_entropy"]) >= 0


def test_a_node_that_fails_ends_the_program_with_its_own_error(tmp_path):
    config = Path(__file__).with_name("breaking_pong.py")
    result = run_program(
        "launch_atari.py",
        f"--config={config}",
        f"--workdir={tmp_path}",
        "--config.agent.network.width=8",
        *FLAGS,
    )
    assert result.returncode == 1, result.stderr
    assert "node actor_" in result.stderr and "the joystick came off" in result.stderr
