"""Executes the code of the pages of docs/ that have Python."""

import ast
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from mukoe.configuration import load_config
from mukoe.terminal.interruption import STATUS_INTERRUPTED
from tests.programs.forked import run_program

ROOT = Path(__file__).parents[2]
SHORT = (
    "--max_actor_steps=600",
    "--config.run.evaluation_episodes=2",
    "--config.run.log_period=50",
)
# Compiles sooner.
SMALL = (
    "--config.agent.search.num_simulations=2",
    "--config.agent.loss.unroll_steps=2",
    "--config.agent.network.width=8",
)


def blocks_of(page):
    """The Python of a page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)


def write(folder, page, name):
    """Writes the file of a page into a folder, as a reader would."""
    text = (ROOT / "docs" / page).read_text()
    (code,) = re.findall(rf"`{name}`[^\n]*\n+```python\n(.*?)```", text, re.DOTALL)
    (folder / name).write_text(code)
    return folder / name


def run_block(code, folder):
    return subprocess.check_output(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        timeout=120,
    )


def test_the_own_game_of_a_page_trains_and_is_drawn(tmp_path):
    config, workdir = write(tmp_path, "games.md", "gomoku.py"), tmp_path / "run"
    result = run_program(
        "launch.py",
        f"--config={config}",
        f"--workdir={workdir}",
        "--max_actor_steps=300",
        "--config.environment.rollout_simulations=2",
        "--config.agent.search.num_simulations=2",
        "--config.agent.network.blocks=1",
        "--config.agent.replay.min_size=64",
        "--config.run.evaluation_period=0",
    )
    assert result.returncode == 0, result.stderr
    result = run_program("watch.py", f"--workdir={workdir}", "--self_play", "--max_steps=30")
    assert result.returncode == 0, result.stderr
    assert "a b c d e f g h i" in result.stdout and "X to move" in result.stdout


@pytest.mark.parametrize(
    "page, name, flags, columns",
    [
        (
            "own_environment.md",
            "catch.py",
            ("--config.environment.size=5", *SMALL),
            ("policy_loss",),
        ),
        ("own_agent.md", "double_dqn.py", ("--config.agent.width=16",), ("loss",)),
        (
            "own_agent.md",
            "own_parts.py",
            ("--config.agent.penalty=0.001", *SMALL),
            ("penalty", "policy_loss"),
        ),
    ],
)
def test_the_file_of_a_page_trains_and_is_evaluated(tmp_path, page, name, flags, columns):
    config, workdir = write(tmp_path, page, name), tmp_path / "run"
    result = run_program("launch.py", f"--config={config}", f"--workdir={workdir}", *SHORT, *flags)
    assert result.returncode == 0, result.stderr
    header, *rows = (workdir / "logs" / "learner.csv").read_text().splitlines()
    assert rows and set(columns) <= set(header.split(","))
    result = run_program("evaluate.py", f"--workdir={workdir}", "--episodes=3")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["episodes"] == 3
    if name == "double_dqn.py":
        # An agent with few of the usual fields, whose calls are measured.
        result = run_program("advise.py", f"--workdir={workdir}")
        assert result.returncode == 0 and "run.envs_per_actor" in result.stdout, result.stderr


@pytest.mark.slow
@pytest.mark.launchpad
def test_the_agent_of_the_page_is_a_program(tmp_path):
    config, workdir = write(tmp_path, "own_agent.md", "double_dqn.py"), tmp_path / "run"
    layout = ("--layout=distributed", "--lp_launch_type=local_mp")
    result = run_program("launch.py", f"--config={config}", f"--workdir={workdir}", *layout, *SHORT)
    assert result.returncode == 0, result.stderr
    assert list((workdir / "checkpoints" / "latest").iterdir())


def test_the_readme_has_a_moving_picture_and_its_command():
    text = (ROOT / "README.md").read_text()
    (name,) = re.findall(r"!\[[^]]*\]\((\S+\.gif)\)", text)
    assert f"--self_play --video={name}\n" in text
    assert (ROOT / name).stat().st_size < 500_000
    with Image.open(ROOT / name) as picture:
        assert picture.n_frames >= 6


def test_the_environment_of_the_page_steps_in_python(tmp_path):
    write(tmp_path, "own_environment.md", "catch.py")
    printed = run_block(blocks_of("own_environment.md")[-1], tmp_path)
    # 20 steps of 2 environments, of which each episode takes 5 and a first one.
    assert printed.count("EpisodeResult") == 6


def test_the_search_of_the_page_finds_its_way(tmp_path):
    """From 7 up to 10, from 12 down to it."""
    assert run_block(blocks_of("own_agent.md")[-1], tmp_path).startswith("[1 0]")


def test_the_agents_of_the_page_are_in_the_package(tmp_path):
    printed = run_block(blocks_of("zoo.md")[0], tmp_path)
    assert printed.startswith("4\n") and "'cartpole'" in printed


def test_the_scores_of_the_page_are_those_of_perfect_play(tmp_path):
    """The middle wins, every other column loses."""
    block = blocks_of("games.md")[0]
    scores = ast.literal_eval(run_block(block, tmp_path))
    assert len(scores) == 7 and [column for column in scores if scores[column] > 0] == [3]


def commands_of(page, workdir):
    """Arguments of the commands of a page that train, with another workdir and two seeds."""
    text = (ROOT / "docs" / page).read_text().replace("=0..4", "=0..1")
    text = re.sub(r"--workdir=\S+", f"--workdir={workdir}", text)
    commands = re.findall(r"^\.venv/bin/python (programs/launch.py .*)$", text, re.MULTILINE)
    return [command.split() for command in commands]


def processes_with(text):
    """Command lines of the processes that have a text among their arguments."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in lines if text in line]


def test_the_seeds_of_the_page_end_before_their_start_and_resume(tmp_path):
    workdir = tmp_path / "seeds"
    first, resume = commands_of("seeds.md", workdir)
    flags = (*SMALL, "--max_actor_steps=40", "--config.run.evaluation_episodes=1")
    process = subprocess.Popen(
        [sys.executable, *first, *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 120
    while not (workdir / "seed_0" / "output.txt").exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == STATUS_INTERRUPTED, errors
    command = " ".join(resume)
    assert output == f"ended: Ctrl-C, 0 of 2 seeds finished\nresume with:   python {command}\n"
    assert "error" not in errors and not processes_with(str(workdir))
    assert not (workdir / "seed_0" / "config.json").exists()

    result = run_program(*(argument.removeprefix("programs/") for argument in resume))
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"ended: 2 of 2 seeds finished\nreport:        {workdir}/report.html\n"
    config = load_config(workdir / "seed_1")
    assert (config.run.seed, config.run.max_actor_steps) == (1, 40)
    assert config.agent.network.width == 8
    again = run_program("launch.py", *resume[1:])
    assert again.stdout == result.stdout


def test_the_values_of_the_page_are_those_of_three_players(tmp_path):
    block = blocks_of("games.md")[-1]
    values = run_block(block, tmp_path).strip("[] \n").split()
    assert sorted(map(float, values)) == [-1, 0, 1]
