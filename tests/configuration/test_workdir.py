"""Workdirs: new and resumed runs, stored configurations."""

import functools
import json
import operator
import os
import sys
from pathlib import Path

import pytest

import mukoe
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.configuration import (
    load_config,
    load_config_file,
    prepare_workdir,
    resumed_config,
    stored_launch,
    to_dict,
)
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.errors import UserError
from mukoe.layouts.common import default_config
from mukoe.layouts.common.experiment import TrainingConfig

CONFIG_FILE = Path(__file__).with_name("example_config.py")
from_file = load_config_file(str(CONFIG_FILE))
Config, Run = type(from_file), type(from_file.run)


class same:  # noqa: N801
    """Equal to a config with the same values; each load of a file defines its own classes."""

    def __init__(self, config):
        self._config = to_dict(config)

    def __eq__(self, other):
        return to_dict(other) == self._config


def test_new_workdir(tmp_path):
    workdir = prepare_workdir(tmp_path / "a" / "b", Config(), CONFIG_FILE, resume=False)
    assert workdir == tmp_path / "a" / "b"
    stored = json.loads((workdir / "config.json").read_text())
    assert (stored["version"], stored["config"]["game"]) == (2, "MsPacman")
    assert sorted(os.listdir(workdir)) == ["command.json", "config.json", "config.py"]
    assert load_config(workdir) == same(Config())
    command = json.loads((workdir / "command.json").read_text())
    assert command["versions"]["jax"]
    assert command["versions"]["mukoe"] == mukoe.__version__
    assert command["config_file"] == str(CONFIG_FILE)


def test_existing_experiment_needs_resume(tmp_path):
    prepare_workdir(tmp_path, Config(), CONFIG_FILE, resume=False)
    with pytest.raises(UserError, match=r"already holds an experiment.*--resume.*--workdir"):
        prepare_workdir(tmp_path, Config(), CONFIG_FILE, resume=False)
    assert prepare_workdir(tmp_path, Config(), CONFIG_FILE, resume=True) == tmp_path


def test_resume_with_another_config_names_the_fields(tmp_path):
    prepare_workdir(tmp_path, Config(), CONFIG_FILE, resume=False)
    other = Config(Run(num_actors=4), "Pong", 0.2)
    with pytest.raises(UserError) as caught:
        prepare_workdir(tmp_path, other, CONFIG_FILE, resume=True, may_differ=("run.num_actors",))
    message = str(caught.value)
    assert "game was MsPacman, is Pong; learning_rate was 0.1, is 0.2" in message
    assert "num_actors" not in message
    assert load_config(tmp_path) == same(Config()), "a refused resume changes nothing"


def test_resume_may_change_what_is_allowed(tmp_path):
    prepare_workdir(tmp_path, Config(), CONFIG_FILE, resume=False)
    longer = Config(Run(max_actor_steps=2000))
    prepare_workdir(tmp_path, longer, CONFIG_FILE, resume=True, may_differ=("run",))
    assert load_config(tmp_path) == same(longer)
    with pytest.raises(UserError, match="run.max_actor_steps was 2000, is 3000"):
        prepare_workdir(
            tmp_path, Config(Run(3000)), CONFIG_FILE, resume=True, may_differ=("run.max",)
        )


def test_each_command_is_kept(tmp_path, monkeypatch):
    other_file = tmp_path / "other.py"
    other_file.write_text(CONFIG_FILE.read_text() + "# Another version.\n")
    for index, file in enumerate([CONFIG_FILE, None, other_file, None]):
        monkeypatch.setattr(sys, "argv", ["launch.py", str(index)])
        prepare_workdir(tmp_path / "run", Config(), file, resume=index > 0)
        text = (tmp_path / "run" / "config.py").read_text()
        assert text == (other_file if index > 1 else CONFIG_FILE).read_text()
    command = json.loads((tmp_path / "run" / "command.json").read_text())
    commands = [*command["previous"], command]
    assert [c["argv"][1] for c in commands] == ["0", "1", "2", "3"]
    assert [c["config_file"] for c in commands] == [str(CONFIG_FILE)] * 2 + [str(other_file)] * 2
    assert not any("previous" in c for c in commands[:-1])


def test_flags_of_layout_and_runtime_are_kept(tmp_path):
    launch = {"layout": "sebulba", "cluster_overrides": {"actor.cpus": "2"}}
    prepare_workdir(tmp_path, Config(), CONFIG_FILE, resume=False, launch=launch)
    assert stored_launch(tmp_path) == launch


def test_a_resumed_run_has_the_stored_config_with_the_changes_of_its_file(tmp_path):
    workdir = tmp_path / "run"
    stored = Config(Run(num_actors=7), "Pong", options={"a": 1})
    prepare_workdir(workdir, stored, CONFIG_FILE, resume=False)
    same_file = tmp_path / "same.py"
    same_file.write_text(CONFIG_FILE.read_text())
    for file in (None, str(CONFIG_FILE), str(same_file)):
        assert resumed_config(workdir, file) == same(stored)
    same_file.write_text(
        CONFIG_FILE.read_text().replace("return Config()", "return Config(Run(90), options={})")
    )
    changed = Config(Run(90, num_actors=7), "Pong", options={"a": 1})
    assert "Run(90)" in same_file.read_text()
    assert resumed_config(workdir, str(same_file)) == same(changed)


def test_a_file_is_refused_for_a_run_whose_config_was_chosen_without_one(tmp_path):
    stored = TrainingConfig(GymnasiumConfig("CartPole-v1"), MuZeroConfig())
    prepare_workdir(tmp_path, stored, default_config.__file__, resume=False)
    assert resumed_config(tmp_path, None) == stored
    with pytest.raises(UserError, match="no function get_config.*leave out --config, and change"):
        resumed_config(tmp_path, "cartpole")


@pytest.mark.parametrize("field", ["learning_rate", "run.num_actors", "options"])
def test_fields_that_are_newer_than_the_run_have_their_defaults(tmp_path, field):
    prepare_workdir(tmp_path, Config(), CONFIG_FILE, resume=False)
    stored = json.loads((tmp_path / "config.json").read_text())
    *groups, name = field.split(".")
    del functools.reduce(operator.getitem, groups, stored["config"])[name]
    (tmp_path / "config.json").write_text(json.dumps(stored))
    other = Config(Run(num_actors=4), learning_rate=0.2, options={"a": 1})
    with pytest.raises(UserError, match="learning_rate was 0.1, is 0.2") as caught:
        prepare_workdir(tmp_path, other, CONFIG_FILE, resume=True)
    assert "run.num_actors was 2, is 4" in str(caught.value)
    prepare_workdir(tmp_path, resumed_config(tmp_path, None), CONFIG_FILE, resume=True)
    assert load_config(tmp_path) == same(Config())


def test_fields_that_came_or_went_are_differences(tmp_path):
    prepare_workdir(tmp_path, Config(options={"a": 1}), CONFIG_FILE, resume=False)
    with pytest.raises(UserError, match=r"options.a was 1, is absent; options was absent, is {}"):
        prepare_workdir(tmp_path, Config(), CONFIG_FILE, resume=True)


def test_nothing_to_resume(tmp_path):
    with pytest.raises(UserError, match="nothing to resume in"):
        resumed_config(tmp_path / "none", None)
    with pytest.raises(UserError, match="nothing to resume in"):
        prepare_workdir(tmp_path / "none", Config(), CONFIG_FILE, resume=True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_workdir_below_a_file(tmp_path, resume):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="workdir|resume") as caught:
        prepare_workdir(tmp_path / "file" / "run", Config(), CONFIG_FILE, resume=resume)
    assert str(tmp_path / "file" / "run") in str(caught.value)


def test_read_only_workdir(tmp_path):
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(UserError, match="cannot write to workdir .*: Permission denied"):
        prepare_workdir(tmp_path, Config(), CONFIG_FILE, resume=False)


@pytest.mark.parametrize("content", [b"{", b"", b"[1]", b"null", b"\xff\xfe"])
def test_damaged_config(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UserError, match="cannot read .*config.json"):
        prepare_workdir(tmp_path, Config(), CONFIG_FILE, resume=True)
    with pytest.raises(UserError, match="holds no experiment"):
        load_config(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"game": "Pong"}', "has no version: it was written by mukoe 0.1.0 and is read by that"),
        (
            '{"version": 3, "config": {}}',
            f"version 3, and mukoe {mukoe.__version__} reads version 2",
        ),
        ('{"version": 2}', "has no object 'config'"),
    ],
)
def test_other_versions_are_refused(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    for read in (load_config, lambda d: prepare_workdir(d, Config(), CONFIG_FILE, resume=True)):
        with pytest.raises(UserError, match=message) as caught:
            read(tmp_path)
        assert "\n" not in str(caught.value)


def test_modules_beside_the_original_config_file_are_imported(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "own_fields_of_a_run.py").write_text(
        "import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass Own:\n    size: int = 3\n"
    )
    config_file = folder / "own.py"
    config_file.write_text(
        "from own_fields_of_a_run import Own\n\n\ndef get_config():\n    return Own()\n"
    )
    config = load_config_file(str(config_file))
    assert os.environ["PYTHONPATH"] == str(folder)
    workdir = prepare_workdir(tmp_path / "run", config, config_file, resume=False)
    sys.path.remove(str(folder))
    del sys.modules["own_fields_of_a_run"]
    assert load_config(workdir) == same(config)
    assert str(workdir) not in sys.path
    assert sys.path.count(str(folder)) == 1
    config_file.unlink()
    (folder / "own_fields_of_a_run.py").unlink()
    folder.rename(tmp_path / "moved")
    assert load_config(workdir) == same(config), "the module is imported already"
