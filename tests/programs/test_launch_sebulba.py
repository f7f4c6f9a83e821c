"""Layout sebulba from the command line."""

import re

from mukoe.layouts.common.checkpointing import stored_counts
from tests.programs.forked import run_program

TINY = (
    "--config=configs/ppo_cartpole.py",
    "--config.agent.rollout_steps=8",
    "--config.agent.epochs=1",
    "--config.run.evaluation_episodes=2",
    "--config.run.evaluation_period=100",
)


def test_config_for_an_environment_trains_on_devices_of_its_own_and_resumes(tmp_path):
    flags = (
        f"--workdir={tmp_path}",
        "--env=Taxi-v4",
        "--config.agent.minibatches=1",
        *TINY[1:],
        "--config.sebulba.actor_devices=0",
        "--config.sebulba.learner_devices=1,2",
    )
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}
    result = run_program("launch.py", *flags, "--max_actor_steps=200", **environment)
    assert result.returncode == 0, result.stderr
    steps = stored_counts(tmp_path)["actor_steps"]
    assert steps >= 200
    (line,) = re.findall("default config: .*", result.stdout)
    assert "PPO, layout sebulba, torso 'tanh_mlp'" in line
    assert "batches of 128 steps, rewards times 0.05" in line
    (hint,) = re.findall(r"resume with: +python\S* \S*launch.py (.*)", result.stdout)
    assert hint.split() == ["--resume", f"--workdir={tmp_path}", f"--max_actor_steps={2 * steps}"]
    result = run_program("launch.py", *hint.split(), **environment)
    assert result.returncode == 0, result.stderr
    assert stored_counts(tmp_path)["actor_steps"] >= 2 * steps


def test_what_does_not_fit_gets_one_line(tmp_path):
    for program, flags, expected in (
        ("launch.py", (*TINY, "--layout=local"), "--layout=sebulba"),
        (
            "launch.py",
            (*TINY, "--layout=sebulba", "--config.sebulba.learner_devices=9"),
            "device 9",
        ),
        (
            "launch_atari.py",
            ("--layout=sebulba", "--agent=ppo", "--config=configs/ppo_pong.py"),
            "give either --agent or --config",
        ),
    ):
        result = run_program(program, f"--workdir={tmp_path}/run", *flags)
        assert result.returncode == 2, result.stderr
        lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 and expected in lines[0], result.stderr
        assert "Traceback" not in result.stderr
