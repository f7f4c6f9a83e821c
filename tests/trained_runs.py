"""Small trained runs that several tests look at."""

import functools
from pathlib import Path

from mukoe.configuration import load_config_file, prepare_workdir
from mukoe.layouts import local


@functools.cache
def train_once(config_file: Path, workdir: Path) -> Path:
    """Trains with a config file, once in this process, and returns the workdir."""
    config = load_config_file(str(config_file))
    experiment = config.make_experiment()
    spec = local.check(experiment)
    workdir = prepare_workdir(workdir, config, config_file, resume=False)
    assert local.train(experiment, spec, workdir) == 0
    return workdir
