"""Workdirs: what may be started and resumed where."""

import dataclasses
import json
import os

import pytest

from mukoe.configuration import load_config, prepare_workdir
from mukoe.errors import UserError


@dataclasses.dataclass(frozen=True)
class Run:
    max_actor_steps: int = 1000
    num_actors: int = 2


@dataclasses.dataclass(frozen=True)
class Config:
    run: Run = Run()
    game: str = "MsPacman"
    learning_rate: float = 0.1
    options: dict[str, int] = dataclasses.field(default_factory=dict)


def test_new_workdir(tmp_path):
    workdir = prepare_workdir(tmp_path / "a" / "b", Config(), resume=False)
    assert workdir == tmp_path / "a" / "b"
    assert json.loads((workdir / "config.json").read_text())["game"] == "MsPacman"
    assert os.listdir(workdir) == ["config.json"]
    assert load_config(Config, workdir) == Config()


def test_existing_experiment_needs_resume(tmp_path):
    prepare_workdir(tmp_path, Config(), resume=False)
    with pytest.raises(UserError, match=r"already holds an experiment.*--resume.*--workdir"):
        prepare_workdir(tmp_path, Config(), resume=False)
    assert prepare_workdir(tmp_path, Config(), resume=True) == tmp_path


def test_resume_with_another_config_names_the_fields(tmp_path):
    prepare_workdir(tmp_path, Config(), resume=False)
    other = Config(Run(num_actors=4), "Pong", 0.2)
    with pytest.raises(UserError) as caught:
        prepare_workdir(tmp_path, other, resume=True, may_differ=("run.num_actors",))
    message = str(caught.value)
    assert "game was MsPacman, is Pong; learning_rate was 0.1, is 0.2" in message
    assert "num_actors" not in message
    assert load_config(Config, tmp_path) == Config(), "a refused resume changes nothing"


def test_resume_may_change_what_is_allowed(tmp_path):
    prepare_workdir(tmp_path, Config(), resume=False)
    longer = Config(Run(max_actor_steps=2000))
    prepare_workdir(tmp_path, longer, resume=True, may_differ=("run",))
    assert load_config(Config, tmp_path) == longer
    with pytest.raises(UserError, match="run.max_actor_steps was 2000, is 3000"):
        prepare_workdir(tmp_path, Config(Run(3000)), resume=True, may_differ=("run.max",))


def test_fields_that_came_or_went_are_differences(tmp_path):
    prepare_workdir(tmp_path, Config(options={"a": 1}), resume=False)
    with pytest.raises(UserError, match=r"options.a was 1, is absent; options was absent, is {}"):
        prepare_workdir(tmp_path, Config(), resume=True)


def test_nothing_to_resume(tmp_path):
    with pytest.raises(UserError, match="nothing to resume in"):
        prepare_workdir(tmp_path / "none", Config(), resume=True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_workdir_below_a_file(tmp_path, resume):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="workdir|resume") as caught:
        prepare_workdir(tmp_path / "file" / "run", Config(), resume=resume)
    assert str(tmp_path / "file" / "run") in str(caught.value)


def test_read_only_workdir(tmp_path):
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(UserError, match="cannot write to workdir .*: Permission denied"):
        prepare_workdir(tmp_path, Config(), resume=False)


def test_damaged_config(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="cannot read .*config.json"):
        prepare_workdir(tmp_path, Config(), resume=True)
    with pytest.raises(UserError, match="holds no experiment"):
        load_config(Config, tmp_path / "none")
