"""`--help` of every program: its flags, and the fields of the configuration that it loads."""

import ast
import importlib.util

import pytest

from tests.programs.forked import COMMANDS, PROGRAMS, command_of, run_program

ALL = sorted(p.name for p in PROGRAMS.glob("*.py") if '"__main__"' in p.read_text())

LAUNCH_TYPES = ["--lp_launch_type: <", "local_mp"]


@pytest.mark.parametrize("program", ALL)
def test_flags_are_listed(program):
    result = run_program(program, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    source = (COMMANDS / f"{command_of(program)}.py").read_text()
    marks = ("flags.DEFINE_", "DEFINE_config", "adopt_module_key_flags")
    has_flags = any(mark in source for mark in marks)
    assert (f"mukoe.commands.{command_of(program)}:" in result.stdout) == has_flags
    assert result.stdout.startswith(ast.get_docstring(ast.parse(source)))
    if "DEFINE_config" in source:
        assert "--config:" in result.stdout


@pytest.mark.parametrize(
    ("program", "flags", "expected"),
    [
        (
            "launch.py",
            [],
            ["--config: Config file; --config.FIELD=VALUE", *LAUNCH_TYPES],
        ),
        ("launch_atari.py", [], ["--config.FIELD=VALUE", *LAUNCH_TYPES, "--config.run."]),
        (
            "launch.py",
            ["--config=configs/ppo_cartpole.py", "--config.agent.discount=0.5", "--seed=3"],
            [
                "agent.loss (PPOLossConfig): ",
                "--config.agent.discount=0.5 a number (from 0 to 1) Discount",
                "--config.run.seed=3 an integer (from 0 to 4294967295) ",
                "--config.environment.env=CartPole-v1 a string ",
            ],
        ),
        ("launch.py", ["--env=2048"], ["environment (PgxConfig)", ".game=2048 "]),
        ("launch_atari.py", ["--agent=ppo", "--game=Pong"], ["game=Pong ", "(PPOConfig)"]),
        ("run_node.py", [], ["agent.search (SearchConfig)", "--workdir: ", "--inference: "]),
        ("serve_environment.py", ["--env=2048"], ["environment (PgxConfig)", ".game=2048 "]),
        ("serve_environment.py", [], ["No fields of --config: give --env"]),
        ("launch.py", ["--config=none.py"], ["No fields of --config: config file 'none.py' does"]),
        (
            "launch.py",
            ["--cluster=configs/cluster_ray.py"],
            ["Fields of --cluster", "--cluster.learner.gpus=", "an integer (at least 0) GPUs"],
        ),
    ],
)
def test_fields_of_the_loaded_configuration_are_listed(program, flags, expected):
    if program == "serve_environment.py" and importlib.util.find_spec("dm_env_rpc") is None:
        pytest.skip("needs the extra 'dm_env_rpc'")
    result = run_program(program, *flags, "--help")
    assert result.returncode == 0, result.stderr
    text = " ".join(result.stdout.split())
    for part in expected:
        assert part in text
