"""Training from Python: the page that describes it, files, errors."""

import concurrent.futures
import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mukoe
from mukoe import layouts
from mukoe.api import training
from mukoe.errors import UserError
from mukoe.layouts import local
from tests.programs.forked import run_program
from tests.viewing import tiny_cartpole
from tests.viewing.runs import trained_run

ROOT = Path(__file__).parents[2]
CONFIG = Path(tiny_cartpole.__file__)
# Compiles sooner.
SMALL = {
    "run.max_actor_steps": 600,
    "run.evaluation_period": 300,
    "run.evaluation_episodes": 2,
    "agent.search.num_simulations": 2,
    "agent.loss.unroll_steps": 2,
    "agent.network.width": 8,
}


def files_of(workdir):
    """Returns the files of a run beside its checkpoints and TensorBoard's."""
    return {
        path.relative_to(workdir).as_posix()
        for path in workdir.rglob("*")
        if not {"checkpoints", "tensorboard"} & set(path.parts)
    }


def code_of(page):
    return "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL))


def replaced(code, old, new):
    assert code.count(old) == 1
    return code.replace(old, new)


@pytest.mark.slow
def test_the_code_of_the_pages_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    code = code_of("docs/python_api.md")
    exec(replaced(code, '{"run.max_actor_steps": 1_000}', repr(SMALL)), names)
    assert "SearchResult(action=" in capsys.readouterr().out
    assert names["rows"][-1]["actor_steps"] >= 600
    code = code_of("README.md")
    assert len(code.splitlines()) <= 10
    exec(replaced(code, 'mukoe.train("cartpole", "runs/cartpole")', "mukoe.load('runs/api')"), {})
    action, *numbers = capsys.readouterr().out.split()
    assert action in "01" and len([float(number) for number in numbers]) == 3


def test_a_configuration_without_file_writes_a_run_that_the_programs_open(tmp_path):
    agent = mukoe.train(tiny_cartpole.get_config(), tmp_path / "run", overrides={"run.seed": 3})
    assert agent.run.config.run.seed == 3 and agent.run.counts["actor_steps"] == 60
    expected = {"config.json", "command.json", "logs", "logs/learner.csv", "logs/actor_0.csv"}
    assert files_of(tmp_path / "run") == {*expected, "logs/evaluator.csv"}
    result = run_program("watch.py", f"--workdir={tmp_path / 'run'}", "--max_steps=2")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("config", "layout", "agent"),
    [(None, "sebulba", "PPOConfig"), (CONFIG, "local", "MuZeroConfig")],
)
def test_an_environment_is_given_by_name(tmp_path, monkeypatch, config, layout, agent):
    """Without a config, one is chosen for the environment, with the layout of its agent."""
    chosen = getattr(layouts, layout)
    monkeypatch.setattr(chosen, "train", lambda *_: 130)
    with pytest.raises(KeyboardInterrupt):
        mukoe.train(config, tmp_path / "run", env="Acrobot-v1")
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored["config"]["environment"]["env"] == "Acrobot-v1"
    assert stored["config"]["agent"]["class"].endswith(agent)
    assert stored["launch"] == {"layout": layout}


def test_a_run_is_not_overwritten():
    with pytest.raises(UserError, match=r"already holds an experiment: open it with load\(\)"):
        mukoe.train(CONFIG, trained_run("cartpole"))


def test_ctrl_c_raises_after_the_run_is_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "train", lambda *_: 130)
    with pytest.raises(KeyboardInterrupt):
        mukoe.train(CONFIG, tmp_path / "run")


def test_training_in_another_thread_gets_one_line(tmp_path):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        future = pool.submit(mukoe.train, CONFIG, tmp_path / "run")
    with pytest.raises(UserError, match=r"train\(\) runs in the main thread"):
        future.result()
    assert list(tmp_path.iterdir()) == []


@dataclasses.dataclass(frozen=True)
class Unknown:
    """Environment configuration of a class that other processes cannot import."""

    __module__ = "__main__"

    def make_factory(self):
        raise AssertionError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"config": "cartpol"}, "'cartpol' does not exist; did you mean"),
        ({"config": None}, 'give a config, such as "cartpole", or env, such as env="Acro'),
        ({"config": None, "env": "Acrobat-v1"}, "did you mean Acrobot-v1"),
        (
            {"config": tiny_cartpole.get_config().run},
            "config is no TrainingConfig, but a RunConfig",
        ),
        ({"overrides": {"run.sed": 1}}, "run.sed"),
        ({"overrides": {"run.seed": -1}}, "run.seed must be from 0"),
        ({"layout": "distributed"}, "layout is one of local, sebulba, not 'distributed'"),
        (
            {"config": dataclasses.replace(tiny_cartpole.get_config(), environment=Unknown())},
            "Unknown is defined in a notebook or a script",
        ),
    ],
)
def test_wrong_arguments_get_one_line_and_write_nothing(tmp_path, arguments, message):
    with pytest.raises(UserError, match=re.escape(message)):
        training.train(**{"config": CONFIG, "workdir": tmp_path / "run", **arguments})
    assert list(tmp_path.iterdir()) == []


def test_importing_the_package_imports_no_library():
    code = "import sys, mukoe; assert 'jax' not in sys.modules; mukoe.trian"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.stderr.endswith("AttributeError: module 'mukoe' has no attribute 'trian'\n")
