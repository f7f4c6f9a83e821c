"""programs/record.py, and training on what it has recorded."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.programs.forked import run_program

minari = pytest.importorskip("minari")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    return tmp_path / "datasets"


def record(root, *flags):
    result = run_program("record.py", *flags, MINARI_DATASETS_PATH=str(root))
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_random_episodes_are_a_data_set_of_minari(root):
    printed = record(
        root, "--env=CartPole-v1", "--dataset=cartpole/random-v0", "--episodes=5", "--num_envs=2"
    )
    dataset = minari.load_dataset("cartpole/random-v0")
    assert dataset.total_episodes == 5
    assert printed == f"cartpole/random-v0: 5 episodes, {dataset.total_steps} steps\n"
    for episode in dataset.iterate_episodes():
        assert episode.terminations[-1] and episode.rewards.sum() == len(episode.actions)
        assert len(episode.observations) == len(episode.actions) + 1
    actions = np.concatenate([episode.actions for episode in dataset.iterate_episodes()])
    assert 0.2 < actions.mean() < 0.8
    environment = dataset.recover_environment()
    assert environment.spec.id == "CartPole-v1"
    environment.close()


def test_a_user_plays_from_a_pipe(root):
    result = run_program(
        "record.py",
        "--env=CartPole-v1",
        "--dataset=cartpole/user-v0",
        "--policy=human",
        text="a" * 14 + "x",
        MINARI_DATASETS_PATH=str(root),
    )
    assert result.returncode == 0, result.stderr
    dataset = minari.load_dataset("cartpole/user-v0")
    assert dataset.total_episodes == 1 and (dataset[0].actions == 0).all()
    assert dataset.storage.metadata["algorithm_name"] == "human"


def test_ctrl_c_before_the_first_complete_episode_is_no_error(root):
    process = subprocess.Popen(
        [
            *(sys.executable, "programs/record.py", "--env=CartPole-v1"),
            *("--dataset=cartpole/user-v0", "--policy=human"),
        ],
        cwd=ROOT,
        env={**os.environ, "MINARI_DATASETS_PATH": str(root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while "return 0" not in process.stdout.readline():  # of the first picture
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert output.endswith("interrupted: no complete episode, nothing was written\n")
    assert not error.startswith("error") and not any(root.rglob("*.hdf5"))


def test_steps_are_the_other_length(root):
    record(root, "--env=CartPole-v1", "--dataset=cartpole/steps-v0", "--steps=150", "--num_envs=3")
    assert 150 <= minari.load_dataset("cartpole/steps-v0").total_steps < 300


def test_the_commands_of_the_page_name_existing_flags(root):
    """The page's recordings, shorter."""
    page = (ROOT / "docs" / "datasets.md").read_text()
    (command,) = re.findall(r"^mukoe record (--env=CartPole-v1 .*)$", page, re.MULTILINE)
    record(root, *command.split(), "--episodes=2")
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    printed = subprocess.check_output([sys.executable, "-c", code], text=True, env=os.environ)
    assert printed.startswith("2 Box(-inf, inf, (4,), float32) ")
    picture = root / "episode.svg"
    (command,) = re.findall(r"^mukoe datasets (--describe=\S+) --picture", page, re.MULTILINE)
    result = run_program(
        "datasets.py", command, f"--picture={picture}", MINARI_DATASETS_PATH=str(root)
    )
    first, *_, last = result.stdout.splitlines()
    assert first.startswith("data set 'cartpole/random-v0': 2 episodes, "), result.stderr
    assert last == str(picture) and picture.read_text().startswith("<svg")
    result = run_program("datasets.py", MINARI_DATASETS_PATH=str(root))
    line = r"cartpole/random-v0  2 episodes, \d+ steps  random\n"
    assert re.fullmatch(line, result.stdout), result.stderr
