"""Tiny trained runs, made once per process."""

import functools
import tempfile
from pathlib import Path

from mukoe.configuration import load_config_file, prepare_workdir
from mukoe.layouts import local
from mukoe.layouts.runs import open_run
from mukoe.viewing import WatchedAgent

_FOLDER = tempfile.TemporaryDirectory(prefix="mukoe-runs-")


@functools.cache
def trained_run(name: str) -> Path:
    """Trains with `tiny_{name}.py` and returns the workdir."""
    config_file = str(Path(__file__).with_name(f"tiny_{name}.py"))
    config = load_config_file(config_file)
    workdir = prepare_workdir(Path(_FOLDER.name) / name, config, config_file, resume=False)
    assert local.train(config.make_experiment(), workdir) == 0
    return workdir


@functools.cache
def opened_run(name: str):
    """The run and its agent."""
    run = open_run(trained_run(name))
    return run, WatchedAgent(run.experiment.builder, run.environment_spec, run.params)
